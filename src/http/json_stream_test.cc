// Streamed answers in JSON of which a client takes nothing.

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <future>
#include <memory>
#include <string>
#include <utility>

#include "base/protobuf.h"
#include "base/text.h"
#include "http/gateway.h"
#include "net/listener.h"

namespace keelson::http {
namespace {

constexpr size_t kMegabyte = size_t{1} << 20;
// In all 400 MB, where 256 may wait on a loop, and four sevenths of that for one connection.
constexpr int kMessages = 400;
constexpr size_t kLeast = 140 * kMegabyte, kMost = 152 * kMegabyte;

// Sends all that it has at once, though it is asked not to.
class Flood final : public net::StreamHandler {
 public:
  std::unique_ptr<net::StreamReceiver> on_open(net::CallRef call) override {
    return std::make_unique<Stream>(*this, std::move(call));
  }
  std::future<void> cancelled() { return cancelled_.get_future(); }

 private:
  class Stream final : public net::StreamReceiver {
   public:
    Stream(Flood& flood, net::CallRef call) : flood_(flood), call_(std::move(call)) {}
    void on_message(Bytes) override {
      std::string reason;
      pb::append_bytes_field(reason, 6, std::string(kMegabyte, 'a'));
      const Bytes message = Bytes::copy(reason);
      for (int i = 0; i < kMessages; ++i) {
        EXPECT_FALSE(call_->over());  // not from inside
        call_->send(net::MessageParts(message));
      }
    }
    void on_cancel() override { flood_.cancelled_.set_value(); }

   private:
    Flood& flood_;
    const net::CallRef call_;
  };

  std::promise<void> cancelled_;
};

class JsonStreamTest : public ::testing::Test {
 protected:
  void SetUp() override {
    methods_.stream("/etcdserverpb.Watch/Watch", net::MethodKind::kBidiStream, &flood_);
    gateway_ = std::make_unique<Gateway>(methods_, nullptr, nullptr, nullptr, door_, 1,
                                         std::make_shared<net::HeldBudgets>(1));
    gateway_->add_to(router_);
    auto listener = net::Listener::start("http://127.0.0.1:0", &loops_, &router_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
  }
  void TearDown() override {
    listener_.reset();
    gateway_->stop();
    loops_.stop();
  }

  int ask(const std::string& request) const {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(listener_->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&to), sizeof to), 0);
    EXPECT_EQ(send(fd, request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
    return fd;
  }

  Flood flood_;
  net::Router methods_, router_;
  FrontDoor door_{{}};
  net::LoopPool loops_{1};
  std::unique_ptr<Gateway> gateway_;
  std::unique_ptr<net::Listener> listener_;
};

TEST_F(JsonStreamTest, AStreamEndsBehindWhatMayWait) {
  std::future<void> cancelled = flood_.cancelled();
  const int fd =
      ask("POST /v3/watch HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
          "Content-Length: 2\r\n\r\n{}");
  cancelled.get();
  size_t size = 0;
  std::string piece(kMegabyte, '\0'), end;
  for (ssize_t n; (n = recv(fd, piece.data(), piece.size(), 0)) > 0;) {
    size += static_cast<size_t>(n);
    end = (end + piece.substr(0, static_cast<size_t>(n)));
    if (end.size() > 300) end.erase(0, end.size() - 300);
  }
  close(fd);
  EXPECT_GE(size, kLeast);
  EXPECT_LE(size, kMost);
  EXPECT_NE(end.find("\"}}\n"), std::string::npos) << end;  // of the last message
  EXPECT_NE(end.find("{\"error\":{"), std::string::npos) << end;
  EXPECT_NE(end.find("etcdserver: too many requests"), std::string::npos) << end;
  EXPECT_EQ(gateway_->work().times_over_share(), 1u);
}

}  // namespace
}  // namespace keelson::http
