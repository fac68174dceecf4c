#include "backend/rocks/durability.h"

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "backend/rocks/patient_files.h"
#include "base/text.h"

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
    std::thread fills([&] { durability.waiting(true); });
    std::thread empties([&] { durability.waiting(false); });
    fills.join();
    empties.join();
    ASSERT_EQ(told_full, absl::IsResourceExhausted(durability.health())) << "round " << round;
    durability.waiting(false);
  }
}

TEST(PatientFilesTest, TheManifestInUseStays) {
  const std::string dir = cat(::testing::TempDir(), "keelson_manifest_", ::getpid());
  std::filesystem::create_directories(dir);
  for (const char* name : {"MANIFEST-000004", "MANIFEST-000005"}) std::ofstream(dir + "/" + name);
  std::ofstream(dir + "/CURRENT") << "MANIFEST-000005\n";
  PatientFiles files(
      rocksdb::FileSystem::Default(), [](bool) {}, [] { return false; },
      [](uint64_t) { return true; });
  EXPECT_TRUE(files.DeleteFile(dir + "/MANIFEST-000004", {}, nullptr).ok());
  EXPECT_FALSE(files.DeleteFile(dir + "/MANIFEST-000005", {}, nullptr).ok());
  EXPECT_FALSE(std::filesystem::exists(dir + "/MANIFEST-000004"));
  EXPECT_TRUE(std::filesystem::exists(dir + "/MANIFEST-000005"));
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace keelson::backend::rocks
