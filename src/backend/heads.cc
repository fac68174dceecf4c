#include "backend/heads.h"

#include <string>

#include "base/check.h"

namespace keelson::backend {
namespace {

class ValueWalk final : public HeadWalk {
 public:
  ValueWalk(const Reader& reader, const HeadFormat& format, const IterateOptions& bounds)
      : format_(format), it_(reader.iterate(Bucket::kKey, bounds)) {
    CHECK(format_.of != nullptr);
  }

  bool next() override {
    if (ended_) return false;
    if (begun_) {
      it_->next();
    } else {
      it_->seek_to_first();
      begun_ = true;
    }
    ended_ = !it_->valid();
    if (ended_) {
      status_ = it_->status();
      return false;
    }
    head_.clear();
    status_ = format_.of(it_->key(), it_->value(), &head_);
    ended_ = !status_.ok();
    return !ended_;
  }
  std::string_view key() const override { return it_->key(); }
  std::string_view head() const override { return head_; }
  absl::Status status() const override { return status_; }

 private:
  const HeadFormat format_;
  std::unique_ptr<Iterator> it_;
  std::string head_;
  absl::Status status_;
  bool begun_ = false;
  bool ended_ = false;
};

}  // namespace

std::unique_ptr<HeadWalk> heads_from_values(const Reader& reader, const HeadFormat& format,
                                            const IterateOptions& bounds) {
  return std::make_unique<ValueWalk>(reader, format, bounds);
}

std::unique_ptr<HeadWalk> Backend::walk_heads(const HeadFormat& format) const {
  return heads_from_values(*this, format, {});
}

}  // namespace keelson::backend
