#include "backend/rocks/durability.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace keelson::backend::rocks {
namespace {

// What the listener heard last is what health() says, whoever changed it: a "full" that arrives
// after the "well" that followed it would refuse writes for ever.
TEST(DurabilityTest, TheListenerHearsOfHealthInItsOrder) {
  Durability durability("meta", rocksdb::FileSystem::Default(), ::testing::TempDir());
  std::atomic<bool> told_full{false};
  durability.set_health_listener([&](const absl::Status& health) {
    const bool full = absl::IsResourceExhausted(health);
    std::this_thread::yield();
    told_full = full;
  });
  for (int round = 0; round < 3000; ++round) {
    std::thread fills([&] { durability.disk(true); });
    std::thread empties([&] { durability.disk(false); });
    fills.join();
    empties.join();
    ASSERT_EQ(told_full, absl::IsResourceExhausted(durability.health())) << "round " << round;
    durability.disk(false);
  }
}

}  // namespace
}  // namespace keelson::backend::rocks
