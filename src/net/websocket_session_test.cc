// A websocket's connection without a socket: who writes more than the client takes, what is kept of
// messages, and the end.

#include "net/websocket_session.h"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

#include "base/endian.h"
#include "base/text.h"
#include "net/memory_connection.h"

namespace keelson::net {
namespace {

constexpr size_t kKb = 1024;

// What the session's receiver has heard; the test's.
struct Heard {
  std::shared_ptr<WebSocket> socket;
  std::string messages;  // each with a blank behind it
  int writable = 0;
  int drains = 0;
  int closes = 0;
};

class Ear final : public WebSocket::Receiver {
 public:
  explicit Ear(Heard* heard) : heard_(*heard) {}
  void on_message(Bytes message) override { heard_.messages += cat(message.view(), " "); }
  void on_close() override { ++heard_.closes; }
  void on_writable() override { ++heard_.writable; }
  void on_drain() override { ++heard_.drains; }

 private:
  Heard& heard_;
};

// A connection that has become a websocket already.
class Socket final : public Protocol {
 public:
  static inline Heard* heard = nullptr;  // of the next one that is made

  Socket(const ServerContext*, ProtocolHost* host)
      : session_(host, 1000 * kKb, [](std::shared_ptr<WebSocket> socket) {
          heard->socket = std::move(socket);
          return std::make_unique<Ear>(heard);
        }) {}
  bool receive(std::string_view bytes) override { return session_.receive(bytes); }
  bool produce(OutQueue& out, size_t limit) override { return session_.produce(out, limit); }
  bool input_full() const override { return session_.input_full(); }
  void drain() override { session_.drain(); }
  bool working() const override { return session_.working(); }
  bool finished() const override { return session_.finished(); }
  void input_ended() override { session_.input_ended(); }
  void closed() override { session_.closed(); }
  void each_held(HeldSort sort, absl::FunctionRef<void(const HeldItem&)> visit) const override {
    session_.each_held(sort, visit);
  }

 private:
  WebSocketSession session_;
};

// A client's frame, masked by zeros.
std::string frame(std::string_view payload, uint8_t opcode = 1, bool fin = true) {
  std::string head = {static_cast<char>((fin ? 0x80 : 0) | opcode)};
  if (payload.size() < 126) {
    head += static_cast<char>(0x80 | payload.size());
  } else {
    char size[8];
    store_big64(size, payload.size());
    head += static_cast<char>(0x80 | 127);
    head.append(size, sizeof(size));
  }
  return cat(head, std::string(4, '\0'), payload);
}

class WebSocketSessionTest : public testing::Test {
 protected:
  WebSocketSessionTest() { start({}); }
  ~WebSocketSessionTest() override { server_->close(); }

  void start(const ListenerOptions& options) {
    server_.reset();
    heard_ = {};
    Socket::heard = &heard_;
    server_ = std::make_unique<MemoryServer<Socket>>(&router_, options);
  }
  void write(size_t bytes) {
    heard_.socket->send(MessageParts::copy(std::string(bytes, 'x')), true);
  }
  // The code that a close frame at the end of what was sent has.
  int closed_with() {
    const std::string all = server_->take();
    EXPECT_GE(all.size(), 4u);
    if (all.size() < 4 || all[all.size() - 4] != '\x88') return 0;
    return static_cast<uint8_t>(all[all.size() - 2]) * 256 + static_cast<uint8_t>(all.back());
  }

  Router router_;
  Heard heard_;
  std::unique_ptr<MemoryServer<Socket>> server_;
};

TEST_F(WebSocketSessionTest, WhoWritesALittleIsNotTold) {
  for (int i = 0; i < 100; ++i) {
    write(10 * kKb);
    server_->settle();
    server_->take();
  }
  EXPECT_EQ(heard_.writable, 0);
}

TEST_F(WebSocketSessionTest, WhoWaitsForRoomIsWokenOnceWhenThereIsSome) {
  for (int round = 1; round <= 3; ++round) {
    server_->socket_full = true;
    write(70 * kKb);
    write(70 * kKb);
    EXPECT_GE(heard_.socket->pending_bytes(), 140 * kKb);
    server_->settle();
    EXPECT_EQ(heard_.writable, round - 1);
    EXPECT_TRUE(server_->session().input_full());  // who does not read is not read from
    server_->socket_full = false;
    server_->settle();
    EXPECT_EQ(heard_.writable, round);
    EXPECT_EQ(heard_.socket->pending_bytes(), 0u);
    EXPECT_FALSE(server_->session().input_full());
    EXPECT_GE(server_->take().size(), 140 * kKb);
    server_->settle();
    EXPECT_EQ(heard_.writable, round);
  }
}

// What has gone from the session to a socket that takes nothing of it waits all the same.
TEST_F(WebSocketSessionTest, RoomIsWhatTheSocketHasTaken) {
  server_->fills_up = true;
  write(200 * kKb);
  server_->settle();
  EXPECT_EQ(heard_.writable, 0);
  EXPECT_GE(heard_.socket->pending_bytes(), 200 * kKb);
  server_->fills_up = false;
  server_->take();
  server_->socket_full = false;
  server_->settle();
  EXPECT_EQ(heard_.writable, 1);
}

// More than the connection asks for at once.
TEST_F(WebSocketSessionTest, WhatIsStillQueuedIsNoRoom) {
  write(kOutputLimit);
  write(100 * kKb);
  write(100 * kKb);
  server_->fills_up = true;
  server_->settle();
  EXPECT_EQ(heard_.writable, 0);
  for (int i = 0; i < 4 && heard_.writable == 0; ++i) {
    server_->take();
    server_->socket_full = false;
    server_->settle();
  }
  server_->take();
  server_->socket_full = false;
  server_->settle();
  EXPECT_EQ(heard_.writable, 1);
}

TEST_F(WebSocketSessionTest, NobodyIsWokenBehindTheEnd) {
  server_->socket_full = true;
  write(100 * kKb);
  heard_.socket->close(WebSocket::kNormal);
  EXPECT_EQ(heard_.closes, 1);
  server_->socket_full = false;
  server_->settle();
  EXPECT_EQ(heard_.writable, 0);
  EXPECT_TRUE(server_->finished());
  EXPECT_EQ(closed_with(), WebSocket::kNormal);
  // Nor when the connection has gone meanwhile.
  start({});
  write(100 * kKb);
  OutQueue out;
  EXPECT_TRUE(server_->session().produce(out, kOutputLimit));
  server_->close();
  EXPECT_EQ(heard_.writable, 0);
  EXPECT_EQ(heard_.closes, 1);
  EXPECT_EQ(heard_.socket->pending_bytes(), 0u);
}

TEST_F(WebSocketSessionTest, ThoseWhoServeItHearThatTheServerEnds) {
  server_->session().drain();
  EXPECT_EQ(heard_.drains, 1);
  EXPECT_FALSE(server_->finished());  // it is theirs to end
  heard_.socket->close(WebSocket::kTryAgainLater);
  server_->session().drain();
  EXPECT_EQ(heard_.drains, 1);
  server_->settle();
  EXPECT_TRUE(server_->finished());
  EXPECT_EQ(closed_with(), WebSocket::kTryAgainLater);
}

// ---- what the receiver keeps of the messages

TEST_F(WebSocketSessionTest, WhatIsKeptCountsAsTheConnections) {
  server_->feed(frame("a"));
  EXPECT_EQ(heard_.messages, "a ");
  EXPECT_EQ(server_->incoming().bytes(), 0u);
  heard_.socket->hold(5 * kKb);
  EXPECT_EQ(server_->incoming().bytes(), 5 * kKb);
  const std::string half = frame(std::string(3 * kKb, 'b')).substr(0, 2 * kKb);
  server_->feed(half);
  EXPECT_EQ(server_->incoming().bytes(), 5 * kKb + half.size());
  heard_.socket->hold(kKb);
  EXPECT_EQ(server_->incoming().bytes(), kKb + half.size());
  server_->close();
  EXPECT_EQ(server_->incoming().bytes(), 0u);
}

TEST_F(WebSocketSessionTest, WhoMakesTheMemberKeepTooMuchIsLetGo) {
  start({.connection_incoming = 100 * kKb});
  heard_.socket->hold(100 * kKb);
  EXPECT_EQ(heard_.closes, 0);
  heard_.socket->hold(101 * kKb);
  EXPECT_EQ(heard_.closes, 1);
  EXPECT_EQ(server_->incoming().bytes(), 0u);
  server_->settle();
  EXPECT_TRUE(server_->finished());
  EXPECT_EQ(closed_with(), WebSocket::kTryAgainLater);
  heard_.socket->hold(7);  // to nobody
  EXPECT_EQ(server_->incoming().bytes(), 0u);
}

}  // namespace
}  // namespace keelson::net
