#include "apply/body.h"

#include <cstring>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/protobuf.h"
#include "mvcc/held_range.h"

namespace keelson::apply {
namespace {

// Below this, copying a piece is cheaper than carrying it; in answers above kWholeCopy only truly
// small pieces are copied, so that a huge answer costs references and not its size in memory.
constexpr size_t kCopyBelow = 4096;
constexpr size_t kWholeCopy = 1 << 20;
constexpr size_t kCopyBelowInHuge = 256;

// Appends fields to a message made of gathered and shared pieces.
class BodyWriter {
 public:
  explicit BodyWriter(size_t expected) : copy_below_(limit_for(expected)) {
    if (copy_below_ == kCopyBelow) gathered_.reserve(expected);
  }

  void varint(uint32_t field, uint64_t value) { pb::append_varint_field(gathered_, field, value); }

  void bytes(uint32_t field, const Bytes& content) {
    pb::append_bytes_head(gathered_, field, content.size());
    piece(content);
  }

  void message(uint32_t field, std::string_view head, Parts content) {
    const size_t length = head.size() + content.size();
    pb::append_bytes_head(gathered_, field, length);
    const size_t begin = size();
    gathered_.append(head);
    parts(std::move(content));
    CHECK(size() == begin + length);
  }

  void parts(Parts content) {
    if (content.first_late() || content.own() >= kWholeCopy) {
      close_gathered();
      return out_.add(std::move(content));
    }
    for (const Bytes& part : content.parts()) piece(part);
  }

  void late(size_t size, std::shared_ptr<PartMaker> maker, size_t number) {
    close_gathered();
    out_.add_late(size, std::move(maker), number);
  }

  void holds(const mvcc::HeldRange& held) { out_.holds(held.bytes(), held.shared_bytes()); }

  Parts finish() {
    const size_t written = size();
    close_gathered();
    CHECK(out_.size() == written);
    return std::move(out_);
  }

 private:
  size_t size() const { return out_.size() + gathered_.size(); }

  static size_t limit_for(size_t expected) {
    return expected <= kWholeCopy ? kCopyBelow : kCopyBelowInHuge;
  }

  void piece(const Bytes& content) {
    if (content.size() < copy_below_) {
      gathered_.append(content.view());
    } else {
      close_gathered();
      content.alone() ? out_.add(content) : out_.add_shared(content);
    }
  }

  void close_gathered() {
    out_.add(Bytes::copy(gathered_));
    gathered_.clear();
  }

  const size_t copy_below_;
  std::string gathered_;
  Parts out_;
};

size_t size_of(const std::vector<Bytes>& pieces) {
  size_t size = 0;
  for (const Bytes& piece : pieces) size += piece.size() + 6;
  return size;
}

// Makes the KeyValues of a held range, a chunk of the message at a time.
class HeldParts final : public PartMaker {
 public:
  // Some more than one read of the backend, some less than a client's window.
  static constexpr size_t kChunk = 256 << 10;

  explicit HeldParts(std::shared_ptr<mvcc::HeldRange> held) : held_(std::move(held)) {
    size_t bytes = 0;
    for (size_t i = 0; i < held_->count(); ++i) {
      if (i == 0 || bytes >= kChunk) {
        starts_.push_back(i);
        sizes_.push_back(0);
        bytes = 0;
      }
      bytes += pb::bytes_field_size(2, held_->size(i));
      sizes_.back() = bytes;
    }
    starts_.push_back(held_->count());
    CHECK(starts_.size() == sizes_.size() + 1);
  }

  // A million entries are not freed on an io lane.
  ~HeldParts() override {
    const auto elsewhere = held_->elsewhere();
    elsewhere([held = std::move(held_)] {});
  }

  const std::vector<size_t>& sizes() const { return sizes_; }

  // The maker lives as long as anything that it was asked for.
  void make(size_t number, absl::AnyInvocable<void(absl::StatusOr<Bytes>)> done) override {
    CHECK(number < sizes_.size());
    if (held_->in_memory(starts_[number], starts_[number + 1])) return done(chunk(*held_, number));
    held_->elsewhere()([this, held = held_, number, done = std::move(done)]() mutable {
      done(chunk(*held, number));
    });
  }

 private:
  absl::StatusOr<Bytes> chunk(mvcc::HeldRange& held, size_t number) const {
    absl::StatusOr<std::vector<Bytes>> kvs = held.take(starts_[number], starts_[number + 1]);
    if (!kvs.ok()) return kvs.status();
    return Bytes::build(sizes_[number], [&](char* to) {
      const char* const end = to + sizes_[number];
      for (const Bytes& kv : *kvs) {
        to = pb::write_bytes_head(to, 2, kv.size());
        std::memcpy(to, kv.data(), kv.size());
        to += kv.size();
      }
      CHECK(to == end);
    });
  }

  std::shared_ptr<mvcc::HeldRange> held_;
  // Strictly rising; starts_.size() == sizes_.size() + 1.
  std::vector<size_t> starts_;  // of each chunk, and the end
  std::vector<size_t> sizes_;   // in bytes of the message, > 0 each
};

Parts held_range_body(const mvcc::RangeResult& result) {
  CHECK(result.kvs.empty());
  CHECK(result.count >= static_cast<int64_t>(result.held->count()));
  BodyWriter writer(kWholeCopy + 1);
  auto maker = std::make_shared<HeldParts>(result.held);
  for (size_t i = 0; i < maker->sizes().size(); ++i) writer.late(maker->sizes()[i], maker, i);
  writer.holds(*result.held);
  writer.varint(3, result.more ? 1 : 0);
  writer.varint(4, static_cast<uint64_t>(result.count));
  return writer.finish();
}

}  // namespace

Parts range_body(const mvcc::RangeResult& result) {
  if (result.held) return held_range_body(result);
  CHECK(result.count >= static_cast<int64_t>(result.kvs.size()));
  BodyWriter writer(size_of(result.kvs) + 16);
  for (const Bytes& kv : result.kvs) writer.bytes(2, kv);
  writer.varint(3, result.more ? 1 : 0);
  writer.varint(4, static_cast<uint64_t>(result.count));
  return writer.finish();
}

Parts range_part_body(const mvcc::RangeResult& result) {
  CHECK(!result.held);
  BodyWriter writer(size_of(result.kvs) + 16);
  for (const Bytes& kv : result.kvs) writer.bytes(2, kv);
  return writer.finish();
}

// The count is the last field, and left out when it is 0: then nothing stands behind the header.
// Read from the end, where no byte of a number but its last is below 0x80, nor is the tag before
// it.
int64_t range_count(const Parts& response) {
  if (response.parts().empty()) return 0;
  const std::string_view start = response.parts().front().view();
  pb::Reader reader(start);
  pb::Field header;
  if (!reader.next(&header) || header.number != 1) return 0;
  if (response.size() == pb::bytes_field_size(1, header.bytes.size())) return 0;
  const std::string_view end = response.parts().back().view();
  size_t at = end.size();
  uint64_t count = 0;
  do {
    if (at == 0) return 0;
    count = count << 7 | (static_cast<uint8_t>(end[--at]) & 0x7f);
  } while (at > 0 && static_cast<uint8_t>(end[at - 1]) >= 0x80);
  return at > 0 && end[at - 1] == static_cast<char>(pb::tag(4, pb::kVarint))
             ? static_cast<int64_t>(count)
             : 0;
}

Parts put_body(const Bytes& prev_kv) {
  if (prev_kv.empty()) return {};
  BodyWriter writer(prev_kv.size() + 6);
  writer.bytes(2, prev_kv);
  return writer.finish();
}

Parts delete_body(const mvcc::DeleteResult& result) {
  CHECK(result.deleted >= static_cast<int64_t>(result.prev_kvs.size()));
  BodyWriter writer(size_of(result.prev_kvs) + 12);
  writer.varint(2, static_cast<uint64_t>(result.deleted));
  for (const Bytes& kv : result.prev_kvs) writer.bytes(3, kv);
  return writer.finish();
}

Parts response_op(uint32_t op, int64_t revision, Parts body) {
  CHECK(op >= 1);
  CHECK(op <= 4);
  CHECK(revision >= 0);
  std::string header;
  pb::append_varint_field(header, 3, static_cast<uint64_t>(revision));
  std::string head;
  pb::append_bytes_field(head, 1, header);
  BodyWriter writer(head.size() + body.size() + 12);
  writer.message(op, head, std::move(body));
  return writer.finish();
}

Parts txn_body(bool succeeded, std::vector<Parts> ops) {
  size_t size = 4;
  for (const Parts& op : ops) size += op.size() + 6;
  BodyWriter writer(size);
  writer.varint(2, succeeded ? 1 : 0);
  for (Parts& op : ops) writer.message(3, {}, std::move(op));
  return writer.finish();
}

}  // namespace keelson::apply
