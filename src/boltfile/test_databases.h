// boltfile/test_databases.h
//
// For tests: databases as maps, written to memory and read back from there.

#pragma once

#include <gtest/gtest.h>

#include <map>
#include <string>

#include "base/endian.h"
#include "base/random.h"
#include "boltfile/file.h"
#include "boltfile/writer.h"

namespace keelson::boltfile {

struct TestBucket {
  std::map<std::string, std::string> keys;
  std::map<std::string, TestBucket> buckets;
  friend bool operator==(const TestBucket&, const TestBucket&) = default;
};

class StringSink final : public SeekableSink {
 public:
  absl::Status write(std::string_view piece) override {
    bytes.append(piece);
    return absl::OkStatus();
  }
  absl::Status overwrite(uint64_t offset, std::string_view piece) override {
    bytes.replace(offset, piece.size(), piece);
    return absl::OkStatus();
  }
  std::string bytes;
};

// Calls of a planner by the shape of those of a writer.
class PlanningWriter {
 public:
  explicit PlanningWriter(Planner* planner) : planner_(planner) {}
  absl::Status begin_bucket(std::string_view name) { return planner_->begin_bucket(name.size()); }
  absl::Status add(std::string_view key, std::string_view value) {
    return planner_->add(key.size(), value.size());
  }
  absl::Status end_bucket() { return planner_->end_bucket(); }

 private:
  Planner* const planner_;
};

// Keys and buckets of `bucket`, in order.
template <typename To>
absl::Status write_inside(const TestBucket& bucket, To& to) {
  auto key = bucket.keys.begin();
  auto inner = bucket.buckets.begin();
  while (key != bucket.keys.end() || inner != bucket.buckets.end()) {
    if (inner == bucket.buckets.end() || (key != bucket.keys.end() && key->first < inner->first)) {
      if (absl::Status s = to.add(key->first, key->second); !s.ok()) return s;
      ++key;
      continue;
    }
    if (absl::Status s = to.begin_bucket(inner->first); !s.ok()) return s;
    if (absl::Status s = write_inside(inner->second, to); !s.ok()) return s;
    if (absl::Status s = to.end_bucket(); !s.ok()) return s;
    ++inner;
  }
  return absl::OkStatus();
}

inline Plan plan_of(const TestBucket& root, const Layout& layout) {
  Planner planner(layout);
  PlanningWriter writer(&planner);
  EXPECT_TRUE(write_inside(root, writer).ok());
  absl::StatusOr<Plan> plan = planner.finish();
  EXPECT_TRUE(plan.ok()) << plan.status();
  return *plan;
}

// As a stream, by a plan.
inline std::string database_of(const TestBucket& root, const Layout& layout = {}) {
  const Plan plan = plan_of(root, layout);
  StringSink sink;
  Writer writer(plan, static_cast<Sink*>(&sink));
  absl::Status s = write_inside(root, writer);
  EXPECT_TRUE(s.ok()) << s;
  s = writer.finish();
  EXPECT_TRUE(s.ok()) << s;
  EXPECT_EQ(sink.bytes.size(), plan.bytes());
  return std::move(sink.bytes);
}

inline absl::Status read_inside(const Bucket& bucket, TestBucket* out) {
  Cursor cursor(bucket);
  absl::Status s = cursor.seek_first();
  for (; s.ok() && cursor.valid(); s = cursor.next()) {
    if (!cursor.is_bucket()) {
      out->keys.emplace_hint(out->keys.end(), cursor.key(), cursor.value());
      continue;
    }
    absl::StatusOr<Bucket> inner = cursor.bucket();
    if (!inner.ok()) return inner.status();
    TestBucket& inside = out->buckets[std::string(cursor.key())];
    if (absl::Status t = read_inside(*inner, &inside); !t.ok()) return t;
  }
  return s;
}

// `bytes` outlive the file.
inline absl::StatusOr<std::unique_ptr<File>> open_memory(std::string_view bytes,
                                                         Pages::Limits limits = {}) {
  return File::open(memory_source(bytes), limits);
}

// Makes both meta pages valid and `meta`.
inline void set_meta(std::string* bytes, const Meta& meta) {
  for (const size_t page : {size_t{0}, size_t{meta.page_size}}) {
    store_meta(bytes->data() + page + kPageHead, meta);
  }
}

// Shows `bytes`, then zeros.
class PaddedSource final : public Source {
 public:
  PaddedSource(std::string bytes, uint64_t size) : bytes_(std::move(bytes)), size_(size) {}
  uint64_t size() const override { return size_; }
  std::string name() const override { return "padded"; }
  absl::Status read(uint64_t offset, char* out, size_t size) const override {
    for (size_t i = 0; i < size; ++i) {
      out[i] = offset + i < bytes_.size() ? bytes_[offset + i] : '\0';
    }
    return absl::OkStatus();
  }

 private:
  const std::string bytes_;
  const uint64_t size_;
};

inline std::string random_bytes(Random& random, size_t size) {
  std::string bytes(size, '\0');
  for (char& c : bytes) c = static_cast<char>(random.next());
  return bytes;
}

// A meta page whose sum is wrong hides everything behind it: makes the sums right.
inline std::string with_right_sums(std::string_view bytes) {
  std::string out(bytes);
  for (const size_t page : {0, 1 << 10, 4 << 10, 8 << 10, 16 << 10}) {
    if (out.size() < page + kPageHead + kMetaSize) break;
    char* at = out.data() + page + kPageHead;
    if (load_little32(at) != 0xed0cdaed) continue;
    store_meta(at, {.page_size = load_little32(at + 8),
                    .root = PageId(load_little64(at + 16)),
                    .sequence = load_little64(at + 24),
                    .freelist = PageId(load_little64(at + 32)),
                    .high_water = PageId(load_little64(at + 40)),
                    .transaction = load_little64(at + 48)});
  }
  return out;
}

}  // namespace keelson::boltfile
