// What the log promises outside crashes: bytes on disk, cuts, release, failures, locks, and that no
// changed byte is ever served. (Full disks: wal_space_test.cc.)

#include "wal/wal.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <filesystem>

#include "base/failpoint.h"
#include "base/text.h"
#include "proto/raft.pb.h"
#include "proto/wal.pb.h"
#include "wal/framing.h"
#include "wal/memory_file_system.h"
#include "wal/segment_name.h"
#include "wal/test_logs.h"
#include "wal/wal_fixture.h"

namespace keelson::wal {
namespace {

// The first bytes of a log, by the book: sum, metadata, mark at zero, entry, hard state. These are
// the bytes that etcd 3.7.1 writes for the same calls, but for the sum that begins a batch.
TEST_F(WalTest, GoldenBytes) {
  auto wal = *Wal::create(std::string(kDir), "somedata", options());
  ASSERT_TRUE(wal->append(state(1, 0), {{entry(1, 1, "hi")}}).ok());
  ASSERT_TRUE(wal->sync().ok());
  std::string golden;
  uint32_t chain = 0;
  auto record = [&](uint8_t type, std::optional<std::string> data) {
    walpb::Record proto;
    proto.set_type(type);
    if (data) chain = crc32c::extend(chain, *data);
    proto.set_crc(chain);
    if (data) proto.set_data(*data);
    std::string bytes = proto.SerializeAsString();
    const size_t padding = (8 - bytes.size() % 8) % 8;
    uint64_t field = bytes.size() | (padding ? (0x80 | padding) << 56 : 0);
    golden.append(reinterpret_cast<const char*>(&field), 8);
    golden += bytes + std::string(padding, '\0');
  };
  record(4, std::nullopt);
  record(1, "somedata");
  record(5, std::string("\x08\x00\x10\x00", 4));
  record(4, std::nullopt);
  record(2, std::string("\x10\x01\x18\x01\x22\x02hi", 8));
  raftpb::HardState hard;
  hard.set_term(1);
  hard.set_vote(kMe.value);
  hard.set_commit(0);
  record(3, hard.SerializeAsString());
  std::string file = fs_.contents(segments()[0]);
  EXPECT_EQ(file.substr(0, golden.size()), golden);
  EXPECT_EQ(file.find_first_not_of('\0', golden.size()), std::string::npos);
  EXPECT_EQ(file.size(), 8192u);
  EXPECT_EQ(segments()[0], "wal/0000000000000000-0000000000000000.wal");
}

TEST_F(WalTest, ReplaysFromAMark) {
  auto wal = make();
  fill(*wal, 1, 20);
  ASSERT_TRUE(wal->save_snapshot({Index(15), Term(2)}, {{kMe}, {}, {}, {}, false}).ok());
  fill(*wal, 21, 60);
  ASSERT_TRUE(wal->close().ok());
  EXPECT_GT(segments().size(), 2u);

  absl::StatusOr<Opened> opened = open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->entries, 60u);
  EXPECT_EQ(opened->state, state(2, 59));
  EXPECT_FALSE(opened->repaired);
  EXPECT_EQ(opened->wal->last_index(), Index(60));
  for (uint64_t i = 1; i <= 60; ++i) EXPECT_EQ(entries_[i - 1], entry(i, 2, text(i)));
  ASSERT_TRUE(opened->wal->close().ok());

  opened = open({Index(15), Term(2)});
  ASSERT_TRUE(opened.ok()) << opened.status();
  ASSERT_EQ(entries_.size(), 45u);
  EXPECT_EQ(entries_[0].index, Index(16));
  opened->wal.reset();

  EXPECT_EQ(message_of(open({Index(16), Term(2)}).status()), "wal: snapshot not found");
  EXPECT_EQ(message_of(open({Index(15), Term(3)}).status()), "wal: snapshot mismatch");
  EXPECT_EQ(verify("wal", {Index(15), Term(2)}, &fs_).value(), state(2, 59));
  auto mark = newest_mark("wal", Index(59), &fs_);
  ASSERT_TRUE(mark.ok()) << mark.status();
  EXPECT_EQ(mark->index, Index(15));
  EXPECT_EQ(mark->conf_state->voters, std::vector<MemberId>{kMe});
  EXPECT_EQ(newest_mark("wal", Index(14), &fs_)->index, Index(0));
}

TEST_F(WalTest, OverwrittenEntriesAreGone) {
  auto wal = make();
  ASSERT_TRUE(
      wal->append(state(1, 1), {{entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "c")}}).ok());
  ASSERT_TRUE(wal->append(state(2, 1), {{entry(2, 2, "B")}}).ok());
  ASSERT_TRUE(wal->close().ok());
  auto opened = open();
  ASSERT_TRUE(opened.ok());
  ASSERT_EQ(entries_.size(), 2u);
  EXPECT_EQ(entries_[1], entry(2, 2, "B"));
  EXPECT_EQ(opened->wal->last_index(), Index(2));
}

TEST_F(WalTest, ReleasesWhollyOlderSegments) {
  Options o = options();
  o.max_segments = 1;
  auto wal = make(o);
  fill(*wal);
  const std::vector<std::string> before = segments();
  ASSERT_GE(before.size(), 3u);
  // Nothing goes that the newest durable mark needs, whatever is asked.
  wal->release_to(Index(60));
  EXPECT_EQ(segments(), before);
  ASSERT_TRUE(wal->save_snapshot({Index(60), Term(2)}, {}).ok());
  wal->release_to(Index(60));
  EXPECT_EQ(segments(), before);
  ASSERT_TRUE(wal->sync().ok());

  const Index third = parse_segment_name(before[2].substr(4))->first_index;
  wal->release_to(third);
  EXPECT_EQ(segments(), std::vector<std::string>(before.begin() + 1, before.end()));
  wal->release_to(third + 1);
  EXPECT_EQ(segments(), std::vector<std::string>(before.begin() + 2, before.end()));
  wal->release_to(Index(1000));
  EXPECT_EQ(segments().size(), 1u);
  EXPECT_EQ(segments().back(), before.back());
}

TEST_F(WalTest, KeepsAsManySegmentsAsAsked) {
  auto wal = make();  // five
  fill(*wal, 1, 200);
  ASSERT_GT(segments().size(), 5u);
  ASSERT_TRUE(wal->save_snapshot({Index(200), Term(2)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  wal->release_to(Index(200));
  EXPECT_EQ(segments().size(), 5u);
}

// What cannot be deleted stays, and so does what follows it; the next release tries again.
TEST_F(WalTest, ReleaseThatFailsIsTriedAgain) {
  Options o = options();
  o.max_segments = 1;
  auto wal = make(o);
  fill(*wal);
  ASSERT_TRUE(wal->save_snapshot({Index(60), Term(2)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  const std::vector<std::string> before = segments();
  fs_.fail_once_after(0);
  wal->release_to(Index(60));
  EXPECT_EQ(segments(), before);
  EXPECT_TRUE(wal->health().ok());
  ASSERT_TRUE(wal->append(state(2, 60), {{entry(61, 2, "on")}}).ok());
  ASSERT_TRUE(wal->sync().ok());
  wal->release_to(Index(60));
  EXPECT_LT(segments().size(), before.size());
  EXPECT_NE(segments().front(), before.front());
}

// A copy that was cut short: between two records, within one, by whole segments.
TEST_F(WalTest, ALogThatIsNotAllThereIsRefused) {
  for (bool closed : {true, false}) {
    for (uint64_t lost : {8, 16, 100, 2000, 8000, 8192, 10'000}) {
      fs_.remove_dir(std::string(kDir)).IgnoreError();
      auto wal = make();
      fill(*wal);
      if (closed) {
        ASSERT_TRUE(wal->close().ok());
      }
      wal.reset();
      fs_.kill();
      ASSERT_TRUE(open().ok());
      EXPECT_EQ(entries_.size(), 60u);
      fs_.kill();
      const std::string last = segments().back();
      const std::string whole = fs_.contents(last);
      if (lost > whole.size()) {
        ASSERT_TRUE(fs_.unlink(last).ok());
      } else {
        fs_.set_contents(last, whole.substr(0, whole.size() - lost));
      }
      const std::string left = fs_.contents(segments().back());
      absl::Status status = open().status();
      EXPECT_TRUE(absl::IsDataLoss(status)) << lost << " " << status;
      EXPECT_NE(status.message().find("KEELSON.tail"), std::string::npos) << status;
      EXPECT_EQ(fs_.contents(segments().back()), left);
      // Whoever gives it up gets what there is.
      ASSERT_TRUE(fs_.unlink("wal/KEELSON.tail").ok());
      if (!left.empty()) {
        EXPECT_TRUE(open().ok()) << lost;
      }
      fs_.kill();
    }
  }
}

// A log without it is one as any other: etcd's, or an older one of ours. So is one that is longer.
TEST_F(WalTest, WhatIsSaidOfTheEndRefusesNothingElse) {
  auto wal = make();
  const std::string early = fs_.contents("wal/KEELSON.tail");
  fill(*wal);
  wal.reset();
  const std::string late = fs_.contents("wal/KEELSON.tail");
  EXPECT_NE(early, late);
  for (const std::string& said : {late, early, std::string(), std::string("rubbish")}) {
    fs_.kill();
    fs_.set_contents("wal/KEELSON.tail", said);
    ASSERT_TRUE(open().ok());
    EXPECT_EQ(entries_.size(), 60u);
    EXPECT_EQ(fs_.contents("wal/KEELSON.tail").size(), 32u);
  }
  fs_.kill();
  ASSERT_TRUE(fs_.unlink("wal/KEELSON.tail").ok());
  ASSERT_TRUE(open().ok());
  EXPECT_EQ(fs_.contents("wal/KEELSON.tail").size(), 32u);
}

// A mark never reaches the disk before a commit index that covers it.
TEST_F(WalTest, AMarkBringsItsCommit) {
  auto wal = make();
  ASSERT_TRUE(wal->append(state(3, 1), {{entry(1, 3, "a"), entry(2, 3, "b")}}).ok());
  ASSERT_TRUE(wal->save_snapshot({Index(2), Term(3)}, {}).ok());
  ASSERT_TRUE(wal->sync().ok());
  wal.reset();
  EXPECT_EQ(newest_mark("wal", Index(2), &fs_)->index, Index(2));
  auto opened = open({Index(2), Term(3)});
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(opened->state, state(3, 2));
  // Raft's own idea of the commit may still be behind; the log's never goes back.
  ASSERT_TRUE(opened->wal->append(state(3, 1), {}).ok());
  ASSERT_TRUE(opened->wal->close().ok());
  EXPECT_EQ(open({Index(2), Term(3)})->state, state(3, 2));
}

TEST_F(WalTest, FailedSyncPoisons) {
  auto wal = make();
  ASSERT_TRUE(wal->append(state(1, 0), {{entry(1, 1, "a")}}).ok());
  fs_.fail_once_after(1);  // the write goes through, the sync does not
  absl::Status failure = wal->sync();
  EXPECT_FALSE(failure.ok());
  EXPECT_EQ(wal->sync(), failure);
  EXPECT_EQ(wal->append(state(1, 0), {{entry(2, 1, "b")}}), failure);
  EXPECT_EQ(wal->health(), failure);
}

TEST_F(WalTest, Failpoints) {
  auto wal = make();
  ASSERT_TRUE(failpoint::arm("wal_before_append=error:28@1;wal_before_sync=error:5@2").ok());
  EXPECT_EQ(wal->append(state(1, 0), {{entry(1, 1, "a")}}).code(),
            absl::StatusCode::kResourceExhausted);
  EXPECT_EQ(wal->unsynced_bytes(), 0u);
  EXPECT_TRUE(wal->append(state(1, 0), {{entry(1, 1, "a")}}).ok());
  EXPECT_TRUE(wal->sync().ok());
  EXPECT_TRUE(wal->append(state(1, 1), {}).ok());
  EXPECT_FALSE(wal->sync().ok());
  EXPECT_FALSE(wal->health().ok());
}

TEST_F(WalTest, OneProcessOnly) {
  auto wal = make();
  absl::StatusOr<Opened> second = open();
  EXPECT_EQ(second.status().code(), absl::StatusCode::kFailedPrecondition) << second.status();
  EXPECT_NE(message_of(second.status()).find("another process"), std::string::npos);
  EXPECT_EQ(Wal::create("wal", "", options()).status().code(), absl::StatusCode::kAlreadyExists);
}

// A place that an interrupted start left is used again; what somebody keeps there is not touched.
TEST_F(WalTest, OnlyWhatIsOursIsClearedAway) {
  auto wal = make();
  ASSERT_TRUE(wal->close().ok());
  const std::string first = segments()[0];
  const std::string empty = fs_.contents(first);
  wal = Wal::create("other", "m", options()).value();
  ASSERT_TRUE(wal->append(state(1, 1), {{entry(1, 1, std::string(300, 'x'))}}).ok());
  ASSERT_TRUE(wal->close().ok());
  const std::string name = first.substr(first.find('/'));
  const std::string full = fs_.contents("other" + name);

  for (const char* file : {"/precious", "/0000000000000001-0000000000000005.wal"}) {
    ASSERT_TRUE(fs_.create_dirs("new.tmp").ok());
    ASSERT_TRUE(fs_.open(cat("new.tmp", file), OpenMode::kCreate).ok());
    EXPECT_EQ(Wal::create("new", "m", options()).status().code(),
              absl::StatusCode::kFailedPrecondition);
    ASSERT_TRUE(fs_.remove_dir("new.tmp").ok());
  }
  for (const std::string& contents : {full, empty}) {
    ASSERT_TRUE(fs_.create_dirs("new.tmp").ok());
    ASSERT_TRUE(fs_.open("new.tmp" + name, OpenMode::kCreate).ok());
    fs_.set_contents("new.tmp" + name, contents);
    absl::Status made = Wal::create("new", "m", options()).status();
    EXPECT_EQ(made.ok(), contents == empty) << made;
    if (!made.ok()) {
      EXPECT_EQ(fs_.contents("new.tmp" + name), full);
    }
  }
}

// A pipe that nobody writes to would hold up whoever opens it.
TEST(PosixFiles, OnlyRegularOnesAreOpened) {
  const std::string path = cat(::testing::TempDir(), "keelson_wal_pipe_", ::getpid());
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  for (OpenMode mode : {OpenMode::kRead, OpenMode::kReadWrite, OpenMode::kCreate}) {
    EXPECT_EQ(posix_file_system()->open(path, mode).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }
  ::unlink(path.c_str());
}

TEST_F(WalTest, NothingThere) {
  EXPECT_FALSE(*exists("wal", &fs_));
  EXPECT_EQ(open().status().code(), absl::StatusCode::kNotFound);
}

// What cannot be looked into is not taken for nothing, and nothing is made in its place.
TEST_F(WalTest, AnUnreadableLogIsNoMissingLog) {
  auto wal = make();
  fill(*wal, 1, 3);
  ASSERT_TRUE(wal->close().ok());
  for (const std::string& path : {std::string(kDir), segments()[0]}) {
    for (int error : {EACCES, EIO, EMFILE}) {
      fs_.fail_access(path, error);
      const bool dir = path == kDir;
      EXPECT_EQ(exists("wal", &fs_).ok(), !dir) << path << error;
      EXPECT_EQ(newest_mark("wal", Index(3), &fs_).ok(), false);
      absl::Status status = open().status();
      EXPECT_FALSE(status.ok());
      EXPECT_FALSE(absl::IsNotFound(status) || absl::IsResourceExhausted(status)) << status;
      EXPECT_FALSE(Wal::create("wal", "", options()).ok());
      fs_.fail_access(path, 0);
    }
  }
  EXPECT_TRUE(open().ok());
  EXPECT_EQ(entries_.size(), 3u);
}

TEST_F(WalTest, CreateReplacesNothingButLeavings) {
  ASSERT_TRUE(fs_.create_dirs("wal").ok());
  fs_.set_contents("wal/0.tmp", "");
  fs_.set_contents("wal/0000000000000003-0000000000000009.wal.broken", "");
  EXPECT_EQ(Wal::create("wal", "", options()).status().code(),
            absl::StatusCode::kFailedPrecondition);
  ASSERT_TRUE(fs_.unlink("wal/0000000000000003-0000000000000009.wal.broken").ok());
  EXPECT_TRUE(Wal::create("wal", "", options()).ok());
}

// More than is held back of entries that nothing says are committed: all come, in order, and the
// replaced ones do not.
TEST_F(WalTest, EntriesBeyondWhatIsHeldBackAreReadAgain) {
  Options o = options(8 << 20);
  auto wal = make(o);
  const std::string big(1 << 20, 'b');
  for (uint64_t i = 1; i <= 40; ++i) {
    ASSERT_TRUE(wal->append({}, {{entry(i, 1, big + std::to_string(i))}}).ok());
  }
  for (uint64_t i = 30; i <= 35; ++i) {
    ASSERT_TRUE(wal->append({}, {{entry(i, 2, cat("new ", i))}}).ok());
  }
  ASSERT_TRUE(wal->append(state(2, 20), {}).ok());
  ASSERT_TRUE(wal->close().ok());
  ASSERT_TRUE(open().ok());
  ASSERT_EQ(entries_.size(), 35u);
  for (uint64_t i = 1; i <= 35; ++i) {
    EXPECT_EQ(entries_[i - 1].index, Index(i));
    EXPECT_EQ(entries_[i - 1].data.view(), i < 30 ? big + std::to_string(i) : cat("new ", i));
  }
}

// The search for a mark reads from the newest segment back to it and no further.
TEST_F(WalTest, NewestMarkLeavesOlderSegmentsAlone) {
  auto wal = make();
  fill(*wal, 1, 60);
  ASSERT_TRUE(wal->save_snapshot({Index(50), Term(2)}, {}).ok());
  ASSERT_TRUE(wal->close().ok());
  ASSERT_GT(segments().size(), 2u);
  for (size_t i = 0; i + 1 < segments().size(); ++i) fs_.fail_access(segments()[i], EIO);
  absl::StatusOr<wire::WalSnapshot> mark = newest_mark("wal", Index(60), &fs_);
  ASSERT_TRUE(mark.ok()) << mark.status();
  EXPECT_EQ(mark->index, Index(50));
  EXPECT_FALSE(newest_mark("wal", Index(49), &fs_).ok());
}

TEST(FileSystem, OnlyAFullDiskIsExhausted) {
  for (int error : {ENOSPC, EDQUOT}) {
    EXPECT_TRUE(absl::IsResourceExhausted(status_of_errno(error, "x"))) << error;
  }
  for (int error : {EMFILE, ENFILE, ENOMEM, EIO, EACCES, EFBIG, EROFS}) {
    EXPECT_FALSE(absl::IsResourceExhausted(status_of_errno(error, "x"))) << error;
    EXPECT_FALSE(status_of_errno(error, "x").ok());
  }
}

TEST_F(WalTest, TornTailIsRepairedAndCopied) {
  auto wal = make();
  fill(*wal, 1, 3);
  ASSERT_TRUE(wal->append(state(2, 3), {{entry(4, 2, std::string(2000, 'z'))}}).ok());
  ASSERT_TRUE(wal->sync().ok());
  wal.reset();
  std::string file = fs_.contents(segments()[0]);
  const size_t z = file.find(std::string(600, 'z'));
  const size_t sector = (z / kSectorSize + 1) * kSectorSize;
  file.replace(sector, kSectorSize, kSectorSize, '\0');
  fs_.set_contents(segments()[0], file);

  auto opened = open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_TRUE(opened->repaired);
  EXPECT_EQ(entries_.size(), 3u);
  EXPECT_EQ(fs_.contents(segments()[0] + ".broken"), file);
  ASSERT_TRUE(opened->wal->append(state(2, 3), {{entry(4, 2, "again")}}).ok());
  ASSERT_TRUE(opened->wal->close().ok());
  opened = open();
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_FALSE(opened->repaired);
  EXPECT_EQ(entries_[3].data.view(), "again");
}

// On the machine's own disk: locks between two opens, preallocation, the directory's name.
TEST(WalOnDisk, LocksAndRoundTrip) {
  const std::string dir = testing::TempDir() + "keelson_wal_test_" + std::to_string(::getpid());
  std::filesystem::remove_all(dir);
  {
    auto wal = Wal::create(dir + "/member/wal", "meta", Options{});
    ASSERT_TRUE(wal.ok()) << wal.status();
    std::vector<raft::Entry> batch;
    for (uint64_t i = 1; i <= 1000; ++i) batch.push_back(entry(i, 1, std::string(256, 'v')));
    ASSERT_TRUE((*wal)->append(state(1, 0), batch).ok());
    ASSERT_TRUE((*wal)->sync().ok());
    EXPECT_EQ(std::filesystem::file_size(dir + "/member/wal/0000000000000000-0000000000000000.wal"),
              64'000'000u);
    using std::filesystem::perms;
    for (const auto& made : std::filesystem::recursive_directory_iterator(dir)) {
      const perms all = std::filesystem::status(made).permissions();
      EXPECT_EQ(all & (perms::group_all | perms::others_all), perms::none) << made;
    }
    std::vector<raft::Entry> none;
    EXPECT_EQ(Wal::open(dir + "/member/wal", {}, Options{}, collect_into(&none)).status().code(),
              absl::StatusCode::kFailedPrecondition);
    ASSERT_TRUE((*wal)->close().ok());
  }
  std::vector<raft::Entry> entries;
  auto opened = Wal::open(dir + "/member/wal", {}, Options{}, collect_into(&entries));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(entries.size(), 1000u);
  opened->wal.reset();
  std::filesystem::remove_all(dir);
}

}  // namespace
}  // namespace keelson::wal
