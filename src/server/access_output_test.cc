// Where the access log goes, and what becomes of lines for which there is no room.

#include "server/access_output.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "base/quiet_log.h"
#include "base/text.h"

namespace keelson::server {
namespace {

// Told by the test, read by the output's thread.
class TestClock final : public Clock {
 public:
  MonotonicTime now() const override { return MonotonicTime{Duration(now_.load())}; }
  Duration unix_time() const override { return Duration(now_.load()); }
  void pass(Duration time) { now_ += time.count(); }

 private:
  std::atomic<int64_t> now_{std::chrono::nanoseconds(std::chrono::hours(1)).count()};
};

class AccessOutputTest : public ::testing::Test {
 protected:
  AccessOutputTest() : dir_(cat(testing::TempDir(), "access-", getpid())) {
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  ~AccessOutputTest() override { std::filesystem::remove_all(dir_); }

  std::string path() const { return dir_ + "/access.log"; }
  std::unique_ptr<AccessOutput> open(std::optional<LogRotation> rotation = std::nullopt) {
    auto opened =
        AccessOutput::open({.target = path(),
                            .rotation = rotation,
                            .clock = &clock_,
                            .space = [this](const std::string&) {
                              return AccessOutput::Space{.free = free_, .total = uint64_t{1} << 40};
                            }});
    EXPECT_TRUE(opened.ok()) << opened.status();
    return *std::move(opened);
  }
  // Of the file, without the time.
  std::vector<std::string> lines(const std::string& name = "access.log") const {
    std::ifstream file(dir_ + "/" + name);
    std::vector<std::string> all;
    for (std::string line; std::getline(file, line);) {
      const size_t event = line.find("\"event\"");
      all.push_back(line.starts_with("{\"ts\"") ? line.substr(event) : line);
    }
    return all;
  }
  // Once all that was written before has gone where it goes.
  void settle(const AccessOutput& output, uint64_t lines) {
    while (output.written() + output.dropped() < lines) std::this_thread::yield();
  }
  using Lines = std::vector<std::string>;

  log::QuietLog quiet_;
  const std::string dir_;
  TestClock clock_;
  std::atomic<uint64_t> free_{uint64_t{1} << 40};
};

TEST_F(AccessOutputTest, WritesInOrderAndToTheEnd) {
  auto output = open();
  for (int i = 0; i < 100; ++i) output->write(cat("a", i, "\nb", i, "\n"), 2, 0);
  output->stop();
  ASSERT_EQ(lines().size(), 200u);
  EXPECT_EQ(lines()[199], "b99");
  EXPECT_EQ(output->written(), 200u);
  EXPECT_EQ(std::filesystem::status(path()).permissions() & std::filesystem::perms::others_all,
            std::filesystem::perms::none);
}

TEST_F(AccessOutputTest, SaysHowManyLinesAreMissing) {
  auto output = open();
  output->write("a\n", 1, 0);
  output->write("b\n", 1, 7);
  output->stop();
  EXPECT_EQ(lines(), (Lines{"a", "\"event\":\"dropped\",\"lines\":7}", "b"}));
  EXPECT_EQ(output->dropped(), 7u);
}

TEST_F(AccessOutputTest, HasNoRoomForMoreThanItMayHold) {
  // A pipe that nobody reads.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC), 0);
  const int before = dup(STDOUT_FILENO);
  ASSERT_GE(dup2(ends[1], STDOUT_FILENO), 0);
  auto opened = AccessOutput::open({.target = "stdout", .clock = &clock_});
  ASSERT_TRUE(opened.ok());
  uint64_t lines = 0;
  for (; (*opened)->has_room() && lines < 1000; ++lines) {
    (*opened)->write(std::string(1 << 20, 'x') + "\n", 1, 0);
  }
  EXPECT_LE(lines, 40u);  // the thread may have given up some
  (*opened)->stop();      // and does not wait for the reader
  EXPECT_EQ((*opened)->written() + (*opened)->dropped(), lines);
  EXPECT_GT((*opened)->dropped(), 0u);
  ASSERT_GE(dup2(before, STDOUT_FILENO), 0);
  close(before);
  close(ends[0]);
  close(ends[1]);
}

// Others write to the same pipe.
TEST_F(AccessOutputTest, WritesWholeLinesToAPipe) {
  // Of packets, so that each write is told from the next.
  int ends[2];
  ASSERT_EQ(pipe2(ends, O_CLOEXEC | O_DIRECT), 0);
  const int before = dup(STDOUT_FILENO);
  ASSERT_GE(dup2(ends[1], STDOUT_FILENO), 0);
  auto opened = AccessOutput::open({.target = "stdout", .clock = &clock_});
  ASSERT_TRUE(opened.ok());
  std::string text;
  for (int i = 0; i < 20; ++i) text += std::string(1000, 'x') + "\n";
  (*opened)->write(text + std::string(5000, 'y') + "\n", 21, 0);
  settle(**opened, 21);
  EXPECT_EQ((*opened)->written(), 21u);
  (*opened)->stop();
  ASSERT_GE(dup2(before, STDOUT_FILENO), 0);
  close(before);
  close(ends[1]);
  std::vector<size_t> writes;
  char packet[8192];
  for (ssize_t n; (n = ::read(ends[0], packet, sizeof packet)) > 0;) {
    writes.push_back(static_cast<size_t>(n));
  }
  EXPECT_EQ(writes, (std::vector<size_t>{4004, 4004, 4004, 4004, 4004, 4096, 905}));
  close(ends[0]);
}

TEST_F(AccessOutputTest, LeavesADisksLastSpaceToOthers) {
  auto output = open();
  output->write("a\n", 1, 0);
  settle(*output, 1);
  free_ = AccessOutput::kMostSpared - 1;
  clock_.pass(std::chrono::seconds(2));
  output->write("b\nc\n", 2, 0);
  settle(*output, 3);
  EXPECT_EQ(output->dropped(), 2u);
  free_ = AccessOutput::kMostSpared;
  clock_.pass(std::chrono::seconds(2));
  output->write("d\n", 1, 0);
  output->stop();
  EXPECT_EQ(lines(), (Lines{"a", "\"event\":\"dropped\",\"lines\":2}", "d"}));
}

// A file that may not grow: part of a line is there.
TEST_F(AccessOutputTest, GoesOnBehindALineThatIsNotWhole) {
  auto output = open();
  rlimit old{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &old), 0);
  signal(SIGXFSZ, SIG_IGN);
  const rlimit tight{.rlim_cur = 10, .rlim_max = old.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &tight), 0);
  output->write("12345\n12345\n12345\n", 3, 0);
  settle(*output, 3);
  EXPECT_EQ(output->written(), 1u);
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &old), 0);
  output->write("last\n", 1, 0);
  output->stop();
  EXPECT_EQ(lines(), (Lines{"12345", "1234", "\"event\":\"dropped\",\"lines\":2}", "last"}));
}

TEST_F(AccessOutputTest, AFileThatWasMovedAwayIsBegunAnew) {
  auto output = open();
  output->write("a\n", 1, 0);
  settle(*output, 1);
  std::filesystem::rename(path(), dir_ + "/access.log.1");
  clock_.pass(std::chrono::seconds(2));
  output->write("b\n", 1, 0);
  output->stop();
  EXPECT_EQ(lines("access.log.1"), Lines{"a"});
  EXPECT_EQ(lines(), Lines{"b"});
}

TEST_F(AccessOutputTest, RotatesAsLogsDo) {
  auto output = open(LogRotation{.max_bytes = 100});
  for (int i = 0; i < 10; ++i) output->write(std::string(49, 'x') + "\n", 1, 0);
  output->stop();
  size_t files = 0;
  for ([[maybe_unused]] const auto& entry : std::filesystem::directory_iterator(dir_)) ++files;
  EXPECT_EQ(files, 5u);
  EXPECT_EQ(lines().size(), 2u);
}

TEST_F(AccessOutputTest, WhatCannotBeOpenedIsRefused) {
  const auto opened = AccessOutput::open({.target = dir_ + "/no/such", .clock = &clock_});
  EXPECT_EQ(opened.status(),
            absl::InvalidArgumentError(
                cat("couldn't open access log ", dir_, "/no/such: No such file or directory")));
}

}  // namespace
}  // namespace keelson::server
