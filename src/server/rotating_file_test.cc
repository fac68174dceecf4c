#include "server/rotating_file.h"

#include <gtest/gtest.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"

namespace keelson::server {
namespace {

namespace fs = std::filesystem;

class RotatingFileTest : public testing::Test {
 protected:
  RotatingFileTest() : dir_(cat(testing::TempDir(), "rotating-", getpid())) {
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  ~RotatingFileTest() override { fs::remove_all(dir_); }

  std::unique_ptr<RotatingFile> open(LogRotation rotation) {
    auto file = RotatingFile::open(dir_ + "/log.txt", rotation,
                                   [this] { return Duration(seconds_ * 1'000'000'000); });
    EXPECT_TRUE(file.ok()) << file.status();
    return *std::move(file);
  }
  void put(const std::string& name, const std::string& text = "old") {
    std::ofstream(dir_ + "/" + name) << text;
  }
  std::string text(const std::string& name) const {
    std::ifstream in(dir_ + "/" + name);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  std::vector<std::string> names() const {
    std::vector<std::string> all;
    for (const auto& entry : fs::directory_iterator(dir_)) {
      all.push_back(entry.path().filename().string());
    }
    std::sort(all.begin(), all.end());
    return all;
  }
  using Names = std::vector<std::string>;

  const std::string dir_;
  std::atomic<int64_t> seconds_{1'136'214'245};  // 2006-01-02T15:04:05Z
};

TEST_F(RotatingFileTest, PutsFullFilesAsideUnderTheTime) {
  auto file = open({.max_bytes = 10});
  file->write("12345678\n");
  file->write("x");
  file->write("abc\n");
  file->write("more than ten of them\n");
  file->tidy();
  EXPECT_EQ(names(), (Names{"log-2006-01-02T15-04-05.000.txt", "log-2006-01-02T15-04-05.001.txt",
                            "log.txt"}));
  EXPECT_EQ(text("log-2006-01-02T15-04-05.000.txt"), "12345678\nx");
  EXPECT_EQ(text("log-2006-01-02T15-04-05.001.txt"), "abc\n");
  EXPECT_EQ(text("log.txt"), "more than ten of them\n");
}

TEST_F(RotatingFileTest, GoesOnWithAFileThatIsThere) {
  put("log.txt", "12345");
  open({.max_bytes = 10})->write("678\n");
  EXPECT_EQ(text("log.txt"), "12345678\n");
  open({.max_bytes = 10})->write("next\n");
  EXPECT_EQ(names().size(), 2u);
}

TEST_F(RotatingFileTest, KeepsSoMany) {
  put("log-2001-01-01T00-00-00.000.txt.gz");
  put("log-2002-01-01T00-00-00.000.txt");
  put("log-2003-01-01T00-00-00.000.txt");
  put("log-2003-01-01T00-00-00.000.txt.gz");  // the same, half way
  put("log-not-a-time.txt");
  put("other-2001-01-01T00-00-00.000.txt");
  open({.max_bytes = 10, .max_backups = 2})->tidy();
  EXPECT_EQ(names(), (Names{"log-2002-01-01T00-00-00.000.txt", "log-2003-01-01T00-00-00.000.txt",
                            "log-2003-01-01T00-00-00.000.txt.gz", "log-not-a-time.txt", "log.txt",
                            "other-2001-01-01T00-00-00.000.txt"}));
}

TEST_F(RotatingFileTest, KeepsThemForSoLong) {
  put("log-2006-01-01T15-04-04.000.txt");  // a day and a second ago
  put("log-2006-01-01T15-04-06.000.txt");
  auto file = open({.max_bytes = 10, .max_age_days = 1});
  file->tidy();
  EXPECT_EQ(names(), (Names{"log-2006-01-01T15-04-06.000.txt", "log.txt"}));
  seconds_ += 2;
  file->tidy();
  EXPECT_EQ(names(), (Names{"log.txt"}));
}

TEST_F(RotatingFileTest, CompressesWhatIsPutAside) {
  auto file = open({.max_bytes = 100'000, .compress = true});
  const std::string first(100'000, 'a');
  file->write(first);
  file->write("b");
  file->tidy();
  const std::string packed = "log-2006-01-02T15-04-05.000.txt.gz";
  EXPECT_EQ(names(), (Names{packed, "log.txt"}));
  EXPECT_LT(fs::file_size(dir_ + "/" + packed), 10'000u);
  gzFile in = gzopen((dir_ + "/" + packed).c_str(), "rb");
  std::string got(first.size() + 1, '\0');
  EXPECT_EQ(gzread(in, got.data(), static_cast<unsigned>(got.size())),
            static_cast<int>(first.size()));
  gzclose(in);
  got.resize(first.size());
  EXPECT_EQ(got, first);
}

TEST_F(RotatingFileTest, NamesLocalTimeIfAsked) {
  setenv("TZ", "XYZ-3", 1);
  tzset();
  auto file = open({.max_bytes = 1, .local_time = true});
  file->write("a");
  file->write("b");
  EXPECT_EQ(names().front(), "log-2006-01-02T18-04-05.000.txt");
  unsetenv("TZ");
  tzset();
}

}  // namespace
}  // namespace keelson::server
