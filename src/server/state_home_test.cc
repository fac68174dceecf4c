// Which store a start opens, when the others go, and what is none of the member's.

#include "server/state_home.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <string>

#include "base/test_log.h"
#include "base/text.h"
#include "wal/wal.h"
#include "wire/wal_record.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;

class StateHomeTest : public ::testing::Test {
 protected:
  StateHomeTest() {
    char path[] = "/tmp/keelson_home_XXXXXX";
    EXPECT_NE(::mkdtemp(path), nullptr);
    data_dir_ = path;
    log_.wal_dir = data_dir_ + "/member/wal";
    fs::create_directories(data_dir_ + "/member");
  }
  ~StateHomeTest() override { fs::remove_all(data_dir_); }

  std::string path_of(const std::string& name) const { return cat(data_dir_, "/member/", name); }
  bool there(const std::string& name) const { return fs::exists(path_of(name)); }

  // A store that stands at `index`, whole.
  void make_store(const std::string& name, uint64_t index) const {
    auto store = backend::open_rocks_backend(path_of(name));
    ASSERT_TRUE(store.ok()) << store.status();
    ASSERT_TRUE((*store)->note_log().ok());
    backend::WriteBatch batch;
    batch.put(backend::Bucket::kKey, "key", "value");
    ASSERT_TRUE((*store)->commit(batch, Index(index), Term(1)).ok());
    std::promise<absl::Status> done;
    (*store)->flush([&](absl::Status status) { done.set_value(std::move(status)); });
    ASSERT_TRUE(done.get_future().get().ok());
  }
  // A log of which the newest mark is at `index`.
  void make_log(uint64_t index) const {
    auto log = wal::Wal::create(log_.wal_dir, "", {});
    ASSERT_TRUE(log.ok()) << log.status();
    ASSERT_TRUE((*log)->save_snapshot({Index(index), Term(1)}, {}).ok());
    ASSERT_TRUE((*log)->close().ok());
  }

  std::string data_dir_;
  node::RecoveryOptions log_;
};

// Until the log is open, what it says may be lost with the power, and then another store is needed.
TEST_F(StateHomeTest, NoStoreGoesBeforeTheLogIsOpen) {
  make_store("keelson", 10);
  make_store("keelson.1", 20);
  make_log(20);
  log::TestLog log(log::Level::kInfo);
  StateHome home(data_dir_, {});
  auto store = home.open(log_);
  ASSERT_TRUE(store.ok()) << store.status();
  EXPECT_EQ((*store)->consistent_index(), Index(20));
  // As etcd says it.
  const auto said = log.take("Recovering from snapshot backend");
  ASSERT_EQ(said.size(), 1u);
  EXPECT_EQ(said[0].fields, (std::map<std::string, std::string>{{"consistent-index", "10"},
                                                                {"snapshot-index", "20"}}));
  EXPECT_TRUE(there("keelson"));
  home.chosen_for_good();
  EXPECT_FALSE(there("keelson"));
  EXPECT_TRUE(there("keelson.1"));
}

TEST_F(StateHomeTest, WhatDoesNotStartRemovesNothing) {
  make_store("keelson", 10);
  make_store("keelson.1", 20);
  make_log(0);
  log::TestLog log(log::Level::kInfo);
  {
    StateHome home(data_dir_, {});
    auto store = home.open(log_);
    ASSERT_TRUE(store.ok()) << store.status();
    EXPECT_EQ((*store)->consistent_index(), Index(10));
  }
  EXPECT_TRUE(log.take("Recovering from snapshot backend").empty());
  EXPECT_TRUE(there("keelson"));
  EXPECT_TRUE(there("keelson.1"));
}

// As when a directory from before the snapshot is put back.
TEST_F(StateHomeTest, AStoreThatIsOlderThanTheLogIsNamedAsEtcdNamesIt) {
  make_store("keelson", 10);
  make_store("keelson.1", 15);
  make_log(20);
  StateHome home(data_dir_, {});
  auto store = home.open(log_);
  EXPECT_TRUE(
      message_of(store.status())
          .starts_with("failed to find database snapshot file (snap: snapshot file doesn't exist)"))
      << store.status();
}

TEST_F(StateHomeTest, ACopyOfAStoreIsNoStoreOfTheMember) {
  make_store("keelson", 10);
  make_log(0);
  for (const char* copy : {"keelson.2026-11-29", "keelson.1.old", "keelson.01", "gone.fishing"}) {
    fs::copy(path_of("keelson"), path_of(copy), fs::copy_options::recursive);
  }
  EXPECT_EQ(store_names(data_dir_ + "/member"), std::vector<std::string>{"keelson"});
  StateHome home(data_dir_, {});
  auto store = home.open(log_);
  ASSERT_TRUE(store.ok()) << store.status();
  home.chosen_for_good();
  for (const char* copy : {"keelson.2026-11-29", "keelson.1.old", "keelson.01", "gone.fishing"}) {
    EXPECT_TRUE(there(copy)) << copy;
  }
}

// The member's own store may never be where the next one is made.
TEST_F(StateHomeTest, WhereThereIsSomethingNoStoreIsMade) {
  make_store("keelson", 10);
  make_log(0);
  fs::create_directory(path_of("keelson.18446744073709551615"));
  StateHome home(data_dir_, {});
  auto store = home.open(log_);
  ASSERT_TRUE(store.ok()) << store.status();
  home.chosen_for_good();
  // Somebody puts copies there meanwhile.
  for (const char* copy : {"keelson.1", "keelson.3"}) {
    fs::create_directory(path_of(copy));
    std::ofstream(path_of(copy) + "/CURRENT") << "not ours";
  }
  const auto files = home.new_store_files();
  ASSERT_TRUE(files.ok()) << files.status();
  EXPECT_EQ(*files, path_of("keelson.2"));
  home.drop_store_files(*files);
  auto made = home.new_store();
  ASSERT_TRUE(made.ok()) << made.status();
  EXPECT_TRUE(there("keelson.4/CURRENT"));
  made->reset();
  EXPECT_FALSE(there("keelson.2"));
  EXPECT_FALSE(there("keelson.4"));
  for (const char* left : {"keelson", "keelson.1/CURRENT", "keelson.3/CURRENT"}) {
    EXPECT_TRUE(there(left)) << left;
  }
}

}  // namespace
}  // namespace keelson::server
