// Stores that go from member to member as files: complete, as of one entry, and nothing damaged.

#include "peer/store_files.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <thread>

#include "base/check.h"
#include "base/crc32c.h"
#include "base/endian.h"
#include "base/quiet_log.h"
#include "base/random.h"
#include "base/test_seeds.h"
#include "base/text.h"
#include "membership/cluster.h"
#include "mvcc/row_head.h"
#include "mvcc/store.h"
#include "net/loop.h"
#include "peer/snapshot_source.h"
#include "server/state_home.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;
using backend::Bucket;

backend::RocksOptions options() {
  backend::RocksOptions options;
  options.write_buffers = 1 << 20;
  options.heads = mvcc::kHeadFormat;
  return options;
}

std::string bytes_of(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// A member's directory, without a member.
class Home final : public peer::SnapshotHome {
 public:
  explicit Home(const std::string& data_dir) : home_(data_dir, options()) {
    fs::create_directories(data_dir + "/member");
    absl::StatusOr<std::shared_ptr<backend::Backend>> opened = home_.open({});
    CHECK(opened.ok());
    store = *std::move(opened);
    home_.chosen_for_good();
  }

  std::string directory() const override { return home_.directory(); }
  absl::StatusOr<std::shared_ptr<backend::Backend>> new_store() override {
    return home_.new_store();
  }
  std::string store_form() const override { return home_.store_form(); }
  absl::StatusOr<std::unique_ptr<peer::StoreCopy>> copy_store() override {
    absl::StatusOr<std::unique_ptr<peer::StoreCopy>> copy = home_.copy_of(*store);
    if (copy.ok() && spoil) spoil((*copy)->directory());
    return copy;
  }
  absl::StatusOr<std::string> new_store_files() override { return home_.new_store_files(); }
  absl::StatusOr<std::shared_ptr<backend::Backend>> open_store_files(
      const std::string& directory) override {
    return home_.open_store_files(directory);
  }
  absl::Status check_store(backend::Backend& store, const std::function<bool()>& goes_on) override {
    return home_.check_store(store, goes_on);
  }
  void drop_store_files(const std::string& directory) override {
    home_.drop_store_files(directory);
  }
  mvcc::StoreOptions store_options() const override { return {}; }
  absl::Status check(const node::ReceivedState&) override { return absl::OkStatus(); }
  void install(raft::Message, node::ReceivedState, Task) override { CHECK(false); }

  std::shared_ptr<backend::Backend> store;
  std::function<void(const std::string& directory)> spoil;

 private:
  StateHome home_;
};

class StoreFilesTest : public ::testing::Test {
 protected:
  StoreFilesTest() {
    char path[] = "/tmp/keelson_files_XXXXXX";
    CHECK(::mkdtemp(path) != nullptr);
    dir_ = path;
    from_ = std::make_unique<Home>(dir_ + "/from");
    to_ = std::make_unique<Home>(dir_ + "/to");
    const absl::StatusOr<membership::Bootstrap> founders =
        membership::bootstrap("a=http://10.0.0.1:2380,b=http://10.0.0.2:2380", "t");
    membership::Cluster members(founders->cluster);
    backend::WriteBatch batch;
    for (const membership::Member& member : founders->members) {
      CHECK(
          members.apply({.member = member.id, .context = membership::encode_context(member)}, batch)
              .ok());
    }
    CHECK(from_->store->commit(batch, Index(0), Term(0)).ok());
    source_ = *mvcc::Store::open(from_->store.get());
  }
  ~StoreFilesTest() override {
    workers_.stop();
    source_.reset();
    from_.reset();
    to_.reset();
    fs::remove_all(dir_);
  }

  // Entry `index` is applied: revision index + 1.
  void apply(uint64_t index, std::string_view value) {
    {
      mvcc::WriteTxn txn = source_->begin();
      CHECK(txn.put({.key = cat("k", index % 100), .value = value}).ok());
    }
    CHECK(source_->publish(Index(index), Term(3)).ok());
  }

  // From one to the other, in the sender's and the receiver's own ways.
  absl::StatusOr<node::ReceivedState> carry() {
    using peer::SnapshotSource;
    auto source = std::make_shared<peer::StoreSource>(&workers_, &loops_.at(0), from_.get());
    absl::StatusOr<SnapshotSource::Plan> plan =
        wait<SnapshotSource::Plan>([&](auto then) { source->plan(std::move(then)); });
    if (!plan.ok()) return plan.status();
    at_ = plan->snapshot->metadata;
    if (tamper_) tamper_(at_);
    std::shared_ptr<peer::StoreFiles> files = incoming();
    uint64_t bytes = 0;
    for (bool last = false; !last;) {
      absl::StatusOr<SnapshotSource::Piece> piece =
          wait<SnapshotSource::Piece>([&](auto then) { source->next(std::move(then)); });
      if (!piece.ok()) return piece.status();
      last = piece->last;
      bytes += piece->bytes.size();
      on_loop([&] { files->write(piece->bytes.str()); });
    }
    EXPECT_EQ(bytes, plan->bytes);
    return wait<node::ReceivedState>([&](auto then) { files->finish([] {}, std::move(then)); });
  }
  std::shared_ptr<peer::StoreFiles> incoming() {
    return std::make_shared<peer::StoreFiles>(peer::IncomingState::Parts{
        .workers = &workers_, .loop = &loops_.at(0), .home = to_.get(), .at = at_});
  }
  template <typename Value, typename Ask>
  absl::StatusOr<Value> wait(Ask ask) {
    std::promise<absl::StatusOr<Value>> done;
    on_loop([&] { ask([&](absl::StatusOr<Value> value) { done.set_value(std::move(value)); }); });
    return done.get_future().get();
  }
  template <typename Body>
  void on_loop(Body body) {
    std::promise<void> done;
    loops_.at(0).post([&] {
      body();
      done.set_value();
    });
    done.get_future().get();
  }
  // What lies in the receiver's place, but for the store that it had.
  std::vector<std::string> left() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_ + "/to/member")) {
      const std::string name = entry.path().filename();
      if (name != "keelson" && name != "snap") names.push_back(name);
    }
    return names;
  }

  log::QuietLog quiet_;
  std::string dir_;
  net::LoopPool loops_{1, "test"};
  Workers workers_{{.threads = 2, .threads_per_connection = 1}};
  std::unique_ptr<Home> from_, to_;
  std::unique_ptr<mvcc::Store> source_;  // on from_'s
  std::function<void(raft::SnapshotMetadata&)> tamper_;
  raft::SnapshotMetadata at_;
};

// While somebody writes.
TEST_F(StoreFilesTest, ACopyIsTheStateAfterOneEntry) {
  constexpr uint64_t kEntries = 6000;
  SeededRandom random(5);
  std::atomic<bool> ends{false};
  std::thread writer([&] {
    for (uint64_t index = 1; index <= kEntries && !ends; ++index) {
      apply(index, std::string(random.below(3000), static_cast<char>('a' + index % 26)));
    }
  });
  Index before(0);
  for (int round = 0; round < 5; ++round) {
    absl::StatusOr<node::ReceivedState> state = carry();
    ASSERT_TRUE(state.ok()) << state.status();
    EXPECT_GE(state->index, before);
    before = state->index;
    EXPECT_EQ(state->backend->consistent_index(), at_.index);
    EXPECT_EQ(at_.conf_state.voters.size(), 2u);
    // Each entry up to it, and none behind.
    const std::unique_ptr<backend::Iterator> keys = state->backend->iterate(Bucket::kKey, {});
    uint64_t count = 0;
    for (keys->seek_to_first(); keys->valid(); keys->next()) {
      EXPECT_EQ(load_big64(keys->key().data()), ++count + 1);
    }
    EXPECT_EQ(count, state->index.value);
    EXPECT_EQ(state->store->revision(), static_cast<int64_t>(count) + 1);
  }
  ends = true;
  writer.join();
  EXPECT_GT(before, Index(0));
  EXPECT_TRUE(left().empty());
  EXPECT_TRUE(fs::is_empty(from_->directory()));
}

// The sums on the way are right: what is wrong was so before.
TEST_F(StoreFilesTest, WhatIsDamagedIsRefusedAndLeavesNothing) {
  for (uint64_t index = 1; index <= 3000; ++index) apply(index, std::string(1000, 'v'));
  for_each_seed(Seeds{.count = 8}, [&](uint64_t seed) {
    SeededRandom random(seed);
    from_->spoil = [&](const std::string& directory) {
      std::vector<std::string> paths;
      for (const auto& entry : fs::directory_iterator(directory)) {
        const std::string name = entry.path().filename();
        if (name.ends_with(".sst") || name.starts_with("MANIFEST")) paths.push_back(entry.path());
      }
      std::sort(paths.begin(), paths.end());
      const std::string& path = paths[random.below(paths.size())];
      std::string bytes = bytes_of(path);
      bytes[random.below(bytes.size())] ^= static_cast<char>(1 + random.below(255));
      // Not through the link: the store has the same file.
      fs::remove(path);
      std::ofstream(path) << bytes;
    };
    absl::StatusOr<node::ReceivedState> state = carry();
    EXPECT_FALSE(state.ok());
    // It is not this member's data that is damaged.
    EXPECT_EQ(message_of(state.status()).find("clear its data directory"), std::string_view::npos);
    EXPECT_TRUE(left().empty()) << left().front();
  });
  from_->spoil = nullptr;
  EXPECT_TRUE(carry().ok());
}

// A head file that is missing, or wrong, only costs time.
TEST_F(StoreFilesTest, HeadFilesThatAreWrongAreNotMissed) {
  for (uint64_t index = 1; index <= 3000; ++index) apply(index, std::string(1000, 'v'));
  size_t heads = 0;
  from_->spoil = [&](const std::string& directory) {
    for (const auto& entry : fs::directory_iterator(directory + "/heads")) {
      fs::remove(entry.path());
      if (++heads % 2 == 0) std::ofstream(entry.path()) << "no heads";
    }
  };
  absl::StatusOr<node::ReceivedState> state = carry();
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_GT(heads, 0u);
  EXPECT_EQ(state->store->revision(), 3001);
}

// RocksDB looks at what it says before anything else.
TEST_F(StoreFilesTest, CurrentNamesAManifestThatCame) {
  apply(1, "v");
  for (const char* text : {"", "\n", "MANIFEST-000001", "MANIFEST-999999\n", "../keelson/CURRENT\n",
                           "CURRENT\n", "MANIFEST-000001\nMANIFEST-000001\n"}) {
    from_->spoil = [&](const std::string& directory) {
      std::string manifest = bytes_of(directory + "/CURRENT");
      manifest.pop_back();
      fs::rename(cat(directory, "/", manifest), directory + "/MANIFEST-000001");
      fs::remove(directory + "/CURRENT");
      std::ofstream(directory + "/CURRENT") << text;
    };
    EXPECT_TRUE(absl::IsDataLoss(carry().status())) << text;
    EXPECT_TRUE(left().empty());
  }
}

// Whoever sends them may have another order of files.
TEST_F(StoreFilesTest, InWhateverOrder) {
  apply(1, "v");
  std::string body;
  {
    const absl::StatusOr<std::unique_ptr<peer::StoreCopy>> copy = from_->copy_store();
    ASSERT_TRUE(copy.ok()) << copy.status();
    at_ = (*copy)->snapshot()->metadata;
    std::map<std::string, std::string, std::greater<>> files;
    for (const auto& entry : fs::recursive_directory_iterator((*copy)->directory())) {
      const std::string name = fs::relative(entry.path(), (*copy)->directory());
      if (peer::is_store_file_name(name)) files[name] = bytes_of(entry.path());
    }
    ASSERT_TRUE(files.begin()->first.starts_with("heads/"));
    for (const auto& [name, bytes] : files) {
      body += cat(peer::store_file_head({.name = name, .size = bytes.size()}), bytes,
                  peer::store_file_tail(crc32c::extend(0, bytes)));
    }
  }
  std::shared_ptr<peer::StoreFiles> files = incoming();
  on_loop([&] { files->write(body + peer::store_files_end()); });
  const absl::StatusOr<node::ReceivedState> state =
      wait<node::ReceivedState>([&](auto then) { files->finish([] {}, std::move(then)); });
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->store->revision(), 2);
}

// What its message says is not what comes.
TEST_F(StoreFilesTest, AStoreOfAnotherEntryOrOtherMembersIsRefused) {
  apply(1, "v");
  tamper_ = [](raft::SnapshotMetadata& at) { at.index = Index(2); };
  EXPECT_TRUE(absl::IsDataLoss(carry().status()));
  tamper_ = [](raft::SnapshotMetadata& at) { at.term = Term(2); };
  EXPECT_TRUE(absl::IsDataLoss(carry().status()));
  tamper_ = [](raft::SnapshotMetadata& at) { at.conf_state.voters.pop_back(); };
  EXPECT_TRUE(absl::IsDataLoss(carry().status()));
  EXPECT_TRUE(left().empty());
}

}  // namespace
}  // namespace keelson::server
