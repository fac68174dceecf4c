#include "backend/rocks/waits.h"

#include <algorithm>
#include <utility>

#include "rocksdb/env.h"
#include "rocksdb/file_system.h"
#include "rocksdb/system_clock.h"

namespace keelson::backend::rocks {
namespace {

class HastyClock final : public rocksdb::SystemClockWrapper {
 public:
  HastyClock(const std::shared_ptr<rocksdb::SystemClock>& clock, int haste)
      : rocksdb::SystemClockWrapper(clock), haste_(haste) {}

  const char* Name() const override { return "KeelsonHastyClock"; }
  void SleepForMicroseconds(int time) override {
    target_->SleepForMicroseconds(std::max(1, time / haste_));
  }

 private:
  const int haste_;
};

class HastyEnv final : public rocksdb::EnvWrapper {
 public:
  HastyEnv(std::unique_ptr<rocksdb::Env> env, int haste) : rocksdb::EnvWrapper(std::move(env)) {
    file_system_ = target()->GetFileSystem();
    system_clock_ = std::make_shared<HastyClock>(target()->GetSystemClock(), haste);
  }

  const char* Name() const override { return "KeelsonHastyEnv"; }
  void SleepForMicroseconds(int time) override { system_clock_->SleepForMicroseconds(time); }
};

}  // namespace

std::unique_ptr<rocksdb::Env> Waits::environment(
    const std::shared_ptr<rocksdb::FileSystem>& files) const {
  std::unique_ptr<rocksdb::Env> env = rocksdb::NewCompositeEnv(files);
  if (haste_ == 1) return env;
  return std::make_unique<HastyEnv>(std::move(env), haste_);
}

}  // namespace keelson::backend::rocks
