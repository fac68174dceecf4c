// lease/map_reader.h
//
// Bucket `lease` as a plain map, for tests: takes write batches, and reads back like a backend.

#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "backend/backend.h"
#include "base/check.h"

namespace keelson::lease {

class MapReader final : public backend::Reader {
 public:
  std::map<std::string, std::string> records;

  void apply(const backend::WriteBatch& batch) {
    batch.for_each(
        [&](backend::Bucket bucket, std::string_view key, std::string_view value) {
          CHECK(bucket == backend::Bucket::kLease);
          records[std::string(key)] = value;
        },
        [&](backend::Bucket bucket, std::string_view key) {
          CHECK(bucket == backend::Bucket::kLease);
          records.erase(std::string(key));
        });
  }

  absl::StatusOr<std::optional<Bytes>> get(backend::Bucket, std::string_view) const override {
    return absl::UnimplementedError("not needed");
  }
  absl::StatusOr<std::vector<std::optional<Bytes>>> multi_get(
      backend::Bucket, std::span<const std::string_view>) const override {
    return absl::UnimplementedError("not needed");
  }
  std::unique_ptr<backend::Iterator> iterate(backend::Bucket,
                                             backend::IterateOptions) const override {
    return std::make_unique<MapIterator>(records);
  }

 private:
  class MapIterator final : public backend::Iterator {
   public:
    using Map = std::map<std::string, std::string>;
    explicit MapIterator(const Map& map) : map_(map), at_(map.end()) {}
    bool valid() const override { return at_ != map_.end(); }
    void seek_to_first() override { at_ = map_.begin(); }
    void seek_to_last() override { at_ = map_.empty() ? map_.end() : std::prev(map_.end()); }
    void seek(std::string_view key) override { at_ = map_.lower_bound(std::string(key)); }
    void seek_for_prev(std::string_view) override { CHECK(false); }
    void next() override { ++at_; }
    void prev() override { --at_; }
    std::string_view key() const override { return at_->first; }
    std::string_view value() const override { return at_->second; }
    absl::Status status() const override { return absl::OkStatus(); }

   private:
    const Map& map_;
    Map::const_iterator at_;
  };
};

}  // namespace keelson::lease
