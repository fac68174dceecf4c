#include "backend/key_load.h"

#include <mutex>

namespace keelson::backend {
namespace {

constexpr size_t kBatchBytes = 1 << 20;

// The parts commit, one at a time.
class Committing final : public KeyLoad {
 public:
  explicit Committing(Backend* store) : store_(*store) {}

  std::unique_ptr<Part> part() override { return std::make_unique<CommittingPart>(this); }
  absl::Status install() override { return absl::OkStatus(); }

 private:
  class CommittingPart final : public Part {
   public:
    explicit CommittingPart(Committing* load) : load_(*load) {}
    absl::Status add(std::string_view key, std::string_view value) override {
      batch_.put(Bucket::kKey, key, value);
      return batch_.bytes() < kBatchBytes ? absl::OkStatus() : finish();
    }
    absl::Status finish() override {
      absl::Status s = load_.commit(batch_);
      batch_.clear();
      return s;
    }

   private:
    Committing& load_;
    WriteBatch batch_;
  };

  absl::Status commit(const WriteBatch& batch) {
    std::lock_guard one(committing_);
    return store_.commit(batch, Index(0), Term(0));
  }

  Backend& store_;
  std::mutex committing_;
};

}  // namespace

std::unique_ptr<KeyLoad> load_keys(Backend& store) {
  if (auto* loads = dynamic_cast<LoadsKeys*>(&store)) return loads->load_keys();
  return std::make_unique<Committing>(&store);
}

}  // namespace keelson::backend
