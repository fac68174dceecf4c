#include "http/page_maker.h"

#include <gtest/gtest.h>

#include <deque>
#include <string>
#include <utility>
#include <vector>

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
      pages_.get([this](Bytes page) { got_.push_back(page.str()); });
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

// Who asks while a page is made may have done something that is not on it.
TEST_F(PageMakerTest, WhoAsksLateGetsALaterPage) {
  PageMaker pages(&lane_, [&] {
    if (++made_ == 1) pages.get([this](Bytes page) { got_.push_back(page.str()); });
    return std::to_string(made_);
  });
  pages.get([this](Bytes page) { got_.push_back(page.str()); });
  lane_.run();
  EXPECT_EQ(got_, (std::vector<std::string>{"1"}));
  lane_.wait();
  EXPECT_EQ(got_, (std::vector<std::string>{"1", "2"}));
}

}  // namespace
}  // namespace keelson::http
