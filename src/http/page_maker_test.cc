#include "http/page_maker.h"

#include <gtest/gtest.h>
#include <zlib.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "http/gzip.h"

namespace keelson::http {
namespace {

// Runs what was posted when it is told to.
class ManualLane final : public Executor {
 public:
  void post(Task task) override { tasks_.push_back(std::move(task)); }
  void post_after(Duration, Task task) override { later_.push_back(std::move(task)); }
  void run() {
    while (!tasks_.empty()) {
      Task task = std::move(tasks_.front());
      tasks_.pop_front();
      task();
    }
  }
  void wait() {
    for (Task& task : std::exchange(later_, {})) tasks_.push_back(std::move(task));
    run();
  }

 private:
  std::deque<Task> tasks_, later_;
};

class PageMakerTest : public testing::Test {
 protected:
  void ask(int count = 1) {
    for (int i = 0; i < count; ++i) {
      pages_.get(false, [this](Bytes page) { got_.push_back(page.str()); });
    }
  }

  ManualLane lane_;
  int made_ = 0;
  PageMaker pages_{&lane_, [this] { return std::to_string(++made_); }};
  std::vector<std::string> got_;
};

TEST_F(PageMakerTest, ManyWhoAskShareAPage) {
  ask(1000);
  lane_.run();
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(got_, std::vector<std::string>(1000, "1"));
}

TEST_F(PageMakerTest, ItRestsBetweenPages) {
  ask();
  lane_.run();
  ask(10);
  lane_.run();
  EXPECT_EQ(made_, 1);
  EXPECT_EQ(got_.size(), 1u);
  lane_.wait();
  EXPECT_EQ(made_, 2);
  EXPECT_EQ(got_.size(), 11u);
  EXPECT_EQ(got_.back(), "2") << "begun after they asked";
  for (int i = 0; i < 10; ++i) lane_.wait();
  EXPECT_EQ(made_, 2) << "nobody asked";
  ask();
  lane_.run();
  EXPECT_EQ(got_.back(), "3") << "at once";
}

TEST_F(PageMakerTest, WhoTakesItCompressedGetsTheSame) {
  ask();
  std::string zipped;
  pages_.get(true, [&](Bytes page) { zipped = page.str(); });
  lane_.run();
  EXPECT_EQ(made_, 1);
  std::string plain(64, '\0');
  z_stream stream{};
  ASSERT_EQ(inflateInit2(&stream, 15 + 16), Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(zipped.data());
  stream.avail_in = static_cast<uInt>(zipped.size());
  stream.next_out = reinterpret_cast<Bytef*>(plain.data());
  stream.avail_out = static_cast<uInt>(plain.size());
  EXPECT_EQ(inflate(&stream, Z_FINISH), Z_STREAM_END);
  plain.resize(stream.total_out);
  inflateEnd(&stream);
  EXPECT_EQ(plain, got_.front());
}

// What has to ask others first makes one page at a time, too, and hands it out on its lane.
TEST_F(PageMakerTest, APageMayBeMadeElsewhere) {
  std::vector<PageMaker::Made> begun;
  PageMaker pages(&lane_, [&](PageMaker::Made made) { begun.push_back(std::move(made)); });
  const auto get = [&] { pages.get(false, [this](Bytes page) { got_.push_back(page.str()); }); };
  get();
  lane_.run();
  get();
  lane_.wait();
  ASSERT_EQ(begun.size(), 1u);
  begun.front()("first");
  EXPECT_TRUE(got_.empty());
  lane_.run();
  EXPECT_EQ(got_, (std::vector<std::string>{"first"}));
  lane_.wait();
  ASSERT_EQ(begun.size(), 2u);
  begun.back()("second");
  lane_.run();
  EXPECT_EQ(got_.back(), "second");
}

TEST(GzipTest, IsTakenByWhoSaysSo) {
  for (const char* yes : {"gzip", "deflate, gzip;q=1.0, *;q=0.5", "br,gzip", "*", "gzip;q=0.1",
                          "gzip;x=0", "identity;q=0,gzip"}) {
    EXPECT_TRUE(accepts_gzip(yes)) << yes;
  }
  for (const char* no : {"", "deflate", "gzip;q=0", "gzip ; q=0.000, br", "*;q=0", "gzipped",
                         "x-gzip", "*;q=0, br", ",;,"}) {
    EXPECT_FALSE(accepts_gzip(no)) << no;
  }
}

// Who asks while a page is made may have done something that is not on it.
TEST_F(PageMakerTest, WhoAsksLateGetsALaterPage) {
  PageMaker pages(&lane_, [&] {
    if (++made_ == 1) pages.get(false, [this](Bytes page) { got_.push_back(page.str()); });
    return std::to_string(made_);
  });
  pages.get(false, [this](Bytes page) { got_.push_back(page.str()); });
  lane_.run();
  EXPECT_EQ(got_, (std::vector<std::string>{"1"}));
  lane_.wait();
  EXPECT_EQ(got_, (std::vector<std::string>{"1", "2"}));
}

}  // namespace
}  // namespace keelson::http
