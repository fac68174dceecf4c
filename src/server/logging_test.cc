// The form of log lines, and that none of them is lost.

#include "server/logging.h"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "base/text.h"
#include "base/time_text.h"
#include "server/log_format.h"

namespace keelson::server {
namespace {

// 2026-11-22T22:39:15.934732Z
constexpr Duration kTime{1'795'387'155'934'732'000};

class LoggingTest : public ::testing::Test {
 protected:
  void SetUp() override {
    setenv("TZ", "UTC", 1);
    tzset();
    dir_ = ::testing::TempDir() + "keelson_logging_" +
           ::testing::UnitTest::GetInstance()->current_test_info()->name();
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override { std::filesystem::remove_all(dir_); }

  std::vector<std::string> lines_of(const std::string& name) {
    std::ifstream file(dir_ + "/" + name);
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }

  LogConfig to_file(const std::string& name) {
    LogConfig config;
    config.outputs = {dir_ + "/" + name};
    return config;
  }

  std::string dir_;
};

TEST_F(LoggingTest, JsonLineHasEtcdsKeysInOrder) {
  EXPECT_EQ(json_line({log::Level::kWarn, kTime, "/a/src/mvcc/index.cc", 17, "say \"hi\"\n"},
                      {{"member", "1e53"}, {"took-ms", 12}, {"ok", true}, {"rate", std::nan("")}}),
            R"({"level":"warn","ts":"2026-11-22T22:39:15.934732Z","caller":"mvcc/index.cc:17",)"
            R"("msg":"say \"hi\"\n","member":"1e53","took-ms":12,"ok":true,"rate":"nan"})");
}

TEST_F(LoggingTest, LinesAreValidJsonWhateverIsInThem) {
  const std::string hostile("\xff\x00\x1b[0m\"\\", 8);
  const auto parsed = nlohmann::json::parse(
      json_line({log::Level::kInfo, kTime, hostile, 1, hostile}, {{hostile, hostile}}));
  EXPECT_EQ(parsed["level"], "info");
}

TEST_F(LoggingTest, ConsoleLineIsForPeople) {
  EXPECT_EQ(console_line({log::Level::kInfo, kTime, "index.cc", 1, "hello"}, {{"n", 1}}),
            "2026-11-22T22:39:15.934732Z\tinfo\tindex.cc:1\thello\t{\"n\":1}");
  EXPECT_EQ(console_line({log::Level::kInfo, kTime, "index.cc", 1, "hello"}, {}),
            "2026-11-22T22:39:15.934732Z\tinfo\tindex.cc:1\thello");
}

TEST_F(LoggingTest, TimeZonesShowTheirOffset) {
  setenv("TZ", "XXX-05:30", 1);  // POSIX: east of Greenwich is negative
  tzset();
  EXPECT_EQ(timestamp_text(kTime), "2026-11-23T04:09:15.934732+0530");
}

TEST_F(LoggingTest, NothingIsLostOnExit) {
  constexpr int kThreads = 4, kEach = 5000;  // more than the queue holds
  {
    auto logging = Logging::start(to_file("log"));
    ASSERT_TRUE(logging.ok()) << logging.status();
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([t] {
        for (int i = 0; i < kEach; ++i) log::info("line", {{"thread", t}, {"i", i}});
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  std::vector<int> next(kThreads);
  for (const std::string& line : lines_of("log")) {
    const auto parsed = nlohmann::json::parse(line);
    EXPECT_EQ(parsed["i"], next[parsed["thread"].get<size_t>()]++);  // each thread's in order
  }
  EXPECT_EQ(next, std::vector<int>(kThreads, kEach));
}

TEST_F(LoggingTest, FlushWritesWhatCameBefore) {
  auto logging = Logging::start(to_file("log"));
  ASSERT_TRUE(logging.ok());
  log::info("one");
  (*logging)->flush();
  EXPECT_EQ(lines_of("log").size(), 1u);
}

TEST_F(LoggingTest, LevelsBelowAreDropped) {
  LogConfig config = to_file("log");
  config.level = "Warn";
  config.format = "console";
  {
    auto logging = Logging::start(config);
    ASSERT_TRUE(logging.ok());
    EXPECT_FALSE(log::enabled(log::Level::kInfo));
    log::info("quiet");
    log::warn("loud");
  }
  ASSERT_EQ(lines_of("log").size(), 1u);
  EXPECT_NE(lines_of("log")[0].find("\tloud"), std::string::npos);
}

TEST_F(LoggingTest, WritesToSeveralOutputsAndAppends) {
  LogConfig config = to_file("a");
  config.outputs.push_back(dir_ + "/b");
  for (int run = 0; run < 2; ++run) {
    auto logging = Logging::start(config);
    ASSERT_TRUE(logging.ok());
    log::error("x");
  }
  EXPECT_EQ(lines_of("a").size(), 2u);
  EXPECT_EQ(lines_of("b").size(), 2u);
}

TEST_F(LoggingTest, RotatesBySize) {
  LogConfig config = to_file("log");
  config.rotation = true;
  config.rotation_json = R"({"maxsize": 1, "maxbackups": 2})";
  {
    auto logging = Logging::start(config);
    ASSERT_TRUE(logging.ok()) << logging.status();
    const std::string filler(10'000, 'x');
    for (int i = 0; i < 500; ++i) log::info(filler);
  }
  size_t files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dir_)) {
    EXPECT_LE(entry.file_size(), 1u << 20);
    ++files;
  }
  EXPECT_EQ(files, 3u);
}

TEST_F(LoggingTest, NamesWhatCannotBe) {
  LogConfig config = to_file("no/such/dir");
  std::filesystem::create_directories(dir_);
  std::ofstream(dir_ + "/no") << "a file, not a directory";
  auto logging = Logging::start(config);
  ASSERT_FALSE(logging.ok());
  EXPECT_NE(message_of(logging.status()).find("/no/such/dir: not a directory"),
            std::string_view::npos);
  config.outputs = {dir_ + "/nodir/log"};
  logging = Logging::start(config);
  ASSERT_FALSE(logging.ok());
  EXPECT_EQ(message_of(logging.status()), cat("open sink \"", dir_, "/nodir/log\": open ", dir_,
                                              "/nodir/log: no such file or directory"));
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/nodir"));
  EXPECT_EQ(message_of(parse_log_rotation("{").status()).substr(0, 38),
            "improperly formatted log rotation conf");
  EXPECT_FALSE(parse_log_rotation(R"({"maxsize": "1"})").ok());
  EXPECT_FALSE(parse_log_rotation("[]").ok());
  EXPECT_FALSE(parse_log_rotation(R"({"maxsize": 1.5})").ok());
  EXPECT_FALSE(parse_log_rotation(R"({"maxage": 9223372036854775808})").ok());
  EXPECT_EQ(parse_log_rotation("{}")->max_bytes, 100u << 20);
  const auto negative = parse_log_rotation(R"({"maxsize": -1, "maxbackups": -1, "maxage": -1})");
  ASSERT_TRUE(negative.ok()) << negative.status();
  EXPECT_EQ(negative->max_bytes, 100u << 20);
  EXPECT_EQ(negative->max_backups, 0u);
  EXPECT_EQ(negative->max_age_days, 0u);
}

}  // namespace
}  // namespace keelson::server
