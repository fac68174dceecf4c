// What is left of a store that was on its way out.

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "base/text.h"
#include "server/state_home.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;

class RetireTest : public ::testing::Test {
 protected:
  RetireTest() {
    char path[] = "/tmp/keelson_retire_XXXXXX";
    EXPECT_NE(::mkdtemp(path), nullptr);
    data_dir_ = path;
    fs::create_directories(data_dir_ + "/member");
  }
  ~RetireTest() override { fs::remove_all(data_dir_); }

  std::string path_of(const std::string& name) const { return cat(data_dir_, "/member/", name); }
  bool there(const std::string& name) const { return fs::exists(path_of(name)); }

  // Some files of a store.
  void make_part(const std::string& name, const std::vector<std::string>& files) const {
    fs::create_directories(path_of(name));
    for (const std::string& file : files) std::ofstream(path_of(name + "/" + file)) << "x";
  }
  void make_whole(const std::string& name) const {
    auto store = backend::open_rocks_backend(path_of(name));
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->note_log().ok());
  }

  std::string data_dir_;
};

TEST_F(RetireTest, AStartRemovesWhatWasOnItsWayOut) {
  make_whole("keelson");
  make_part("gone.keelson.3", {"CURRENT", "000007.sst"});
  make_part("gone.keelson", {});
  StateHome home(data_dir_, {});
  auto store = home.open({});
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_TRUE(there("keelson"));
  EXPECT_FALSE(there("gone.keelson.3"));
  EXPECT_FALSE(there("gone.keelson"));
}

// Made of a snapshot that did not come to its end: there is no CURRENT yet, or nothing that says
// that a log belongs to it.
TEST_F(RetireTest, AStartRemovesWhatNeverBecameAStore) {
  make_whole("keelson");
  make_part("keelson.1", {"000007.sst"});
  make_part("keelson.2", {"CURRENT", "MANIFEST-000001"});
  // One before it had the same name when it went, and did not get away.
  make_part("gone.keelson.2", {"CURRENT"});
  StateHome home(data_dir_, {});
  auto store = home.open({});
  ASSERT_TRUE(store.ok()) << store.status();
  for (const auto& entry : fs::directory_iterator(data_dir_ + "/member")) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(name == "keelson" || name == "snap") << name;
  }
  // Their numbers are not given again while a start could take one for the other.
  auto next = home.new_store();
  ASSERT_TRUE(next.ok()) << next.status();
  EXPECT_TRUE(there("keelson.3"));
}

// A part of the first store is not taken for the leavings of a snapshot: nobody made it beside
// another one.
TEST_F(RetireTest, TheFirstStoreIsNeverRemovedByAStart) {
  make_part("keelson", {"000007.sst"});
  StateHome home(data_dir_, {.create_if_missing = false});
  home.open({}).status().IgnoreError();
  EXPECT_TRUE(there("keelson"));
  EXPECT_TRUE(there("keelson/000007.sst"));
}

}  // namespace
}  // namespace keelson::server
