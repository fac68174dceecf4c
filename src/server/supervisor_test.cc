// What the service manager hears, on a socket that the test holds in its place.

#include "server/supervisor.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "base/text.h"
#include "server/pulse.h"

namespace keelson::server {
namespace {

class Manager {
 public:
  // `path` begins with '@' for an abstract socket.
  explicit Manager(const std::string& path) : path_(path), fd_(::socket(AF_UNIX, SOCK_DGRAM, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::memcpy(address.sun_path, path.data(), path.size());
    if (path[0] == '@') address.sun_path[0] = '\0';
    const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + path.size());
    EXPECT_EQ(::bind(fd_, reinterpret_cast<sockaddr*>(&address), size), 0);
  }
  ~Manager() {
    ::close(fd_);
    if (path_[0] == '/') ::unlink(path_.c_str());
  }
  std::string heard() {
    char buffer[256];
    const ssize_t n = ::recv(fd_, buffer, sizeof(buffer), 0);
    return n < 0 ? "" : std::string(buffer, static_cast<size_t>(n));
  }

 private:
  const std::string path_;
  const int fd_;
};

TEST(SupervisorTest, SaysItsStateOnThePathOrTheName) {
  const std::string name = cat("keelson-notify-", getpid());
  for (const std::string& path : {cat(testing::TempDir(), name), cat("@", name)}) {
    Manager manager(path);
    Supervisor supervisor({.notify_socket = path});
    EXPECT_TRUE(supervisor.present());
    EXPECT_TRUE(supervisor.ready().ok());
    EXPECT_EQ(manager.heard(), "READY=1");
    EXPECT_TRUE(supervisor.stopping().ok());
    EXPECT_EQ(manager.heard(), "STOPPING=1");
  }
}

TEST(SupervisorTest, NobodyToTell) {
  Supervisor supervisor({});
  EXPECT_FALSE(supervisor.present());
  EXPECT_TRUE(supervisor.ready().ok());
  EXPECT_EQ(supervisor.watchdog_interval(1), std::nullopt);
}

TEST(SupervisorTest, WhatCannotBeTold) {
  EXPECT_FALSE(Supervisor({.notify_socket = "relative"}).ready().ok());
  EXPECT_FALSE(Supervisor({.notify_socket = "/" + std::string(200, 'x')}).ready().ok());
  EXPECT_FALSE(Supervisor({.notify_socket = "/nonexistent/socket"}).ready().ok());
}

TEST(SupervisorTest, WatchedOnlyWhenMeant) {
  auto interval = [](std::string usec, std::string pid) {
    return Supervisor({"/x", std::move(usec), std::move(pid)}).watchdog_interval(42);
  };
  EXPECT_EQ(interval("30000000", "42"), Duration(std::chrono::seconds(15)));
  EXPECT_EQ(interval("30000000", ""), Duration(std::chrono::seconds(15)));
  EXPECT_EQ(interval("30000000", "43"), std::nullopt);
  EXPECT_EQ(interval("30000000", "43x"), std::nullopt);
  EXPECT_EQ(interval("1", ""), Duration(std::chrono::milliseconds(10)));
  EXPECT_EQ(interval("0", "42"), std::nullopt);
  EXPECT_EQ(interval("-5", "42"), std::nullopt);
  EXPECT_EQ(interval("soon", "42"), std::nullopt);
  EXPECT_EQ(interval("", "42"), std::nullopt);
}

// A lane that the test turns by hand.
class ManualLane final : public Executor {
 public:
  void post(Task task) override { tasks_.push_back(std::move(task)); }
  void post_after(Duration, Task task) override { later_.push_back(std::move(task)); }
  void run() {
    for (Task& task : std::exchange(tasks_, {})) task();
  }
  void pass_time() {
    for (Task& task : std::exchange(later_, {})) task();
  }

 private:
  std::vector<Task> tasks_, later_;
};

TEST(PulseTest, ComesBackOnlyWhenEveryLaneTurns) {
  ManualLane first, second, third;
  int beats = 0;
  Pulse pulse({&first, &second, &third}, std::chrono::seconds(1), [&] { ++beats; });
  pulse.start();
  for (ManualLane* lane : {&second, &third, &first}) {
    EXPECT_EQ(beats, 0);
    lane->run();
  }
  EXPECT_EQ(beats, 1);
  first.pass_time();
  second.run();
  first.run();  // the third hangs
  EXPECT_EQ(beats, 1);
  third.run();
  first.run();
  EXPECT_EQ(beats, 2);
}

TEST(PulseTest, OneLaneAlone) {
  ManualLane lane;
  int beats = 0;
  Pulse pulse({&lane}, std::chrono::seconds(1), [&] { ++beats; });
  pulse.start();
  lane.run();
  EXPECT_EQ(beats, 1);
}

}  // namespace
}  // namespace keelson::server
