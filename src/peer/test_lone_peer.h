// peer/test_lone_peer.h
//
// For tests: a Network without a node behind it, member 1 of cluster c1, whose other members are
// the test itself.
//
// Threads: the test's own, but for what the network calls.

#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/quiet_log.h"
#include "net/listener.h"
#include "net/test_http_client.h"
#include "peer/headers.h"
#include "peer/message_stream.h"
#include "peer/network.h"
#include "peer/test_cluster.h"
#include "wire/raft_codec.h"

namespace keelson::peer {

inline constexpr MemberId kSelf{1};
inline constexpr MemberId kOther{2};
inline constexpr MemberId kGone{9};
inline constexpr ClusterId kCluster{0xc1};

// Notes what it is told.
class NotingReceiver final : public Receiver {
 public:
  void receive(std::vector<raft::Message> messages, Task taken) override {
    {
      std::lock_guard lock(mutex_);
      for (raft::Message& message : messages) received_.push_back(std::move(message));
      if (holding_) return held_.push_back(std::move(taken));
    }
    taken();
  }
  void unreachable(MemberId member) override { ++unreachable_; }
  void gone(MemberId) override { ++gone_; }
  void snapshot_sent(MemberId, bool arrived) override { ++(arrived ? arrived_ : failed_); }
  void removed() override { ++removed_; }

  size_t received() {
    std::lock_guard lock(mutex_);
    return received_.size();
  }
  raft::Message message(size_t at) {
    std::lock_guard lock(mutex_);
    return received_.at(at);
  }
  // Takes nothing more; or what has come, and the rest.
  void hold() {
    std::lock_guard lock(mutex_);
    holding_ = true;
  }
  void let_go() {
    std::vector<Task> held;
    {
      std::lock_guard lock(mutex_);
      holding_ = false;
      held.swap(held_);
    }
    for (Task& taken : held) taken();
  }

  std::atomic<int> unreachable_{0}, gone_{0}, arrived_{0}, failed_{0}, removed_{0};

 private:
  std::mutex mutex_;
  std::vector<raft::Message> received_;
  bool holding_ = false;
  std::vector<Task> held_;
};

// Takes snapshots that nobody installs.
class NotingHome final : public SnapshotHome {
 public:
  NotingHome() {
    char path[] = "/tmp/keelson_peer_XXXXXX";
    CHECK(::mkdtemp(path) != nullptr);
    directory_ = path;
  }
  ~NotingHome() override { std::filesystem::remove_all(directory_); }

  std::string directory() const override { return directory_; }
  absl::StatusOr<std::shared_ptr<backend::Backend>> new_store() override {
    return std::make_shared<backend::MemoryBackend>();
  }
  mvcc::StoreOptions store_options() const override { return {}; }
  absl::Status check(const node::ReceivedState&) override { return refused_; }
  void install(raft::Message, node::ReceivedState, Task taken) override {
    ++installed_;
    taken();
  }
  bool empty() const { return std::filesystem::is_empty(directory_); }

  std::atomic<int> installed_{0};
  absl::Status refused_;  // what comes, if it is not ok

 private:
  std::string directory_;
};

class LonePeer : public testing::Test {
 protected:
  // `urls`: where the others listen, from member 2 on.
  void start(std::vector<Urls> urls, NetworkOptions options = quick(),
             LocalAnswers* answers = nullptr) {
    network_ = std::make_unique<Network>(options);
    network_->serve_on(router_);
    auto listener = net::Listener::start("http://127.0.0.1:0", &network_->loops(), &router_);
    ASSERT_TRUE(listener.ok()) << listener.status();
    listener_ = *std::move(listener);
    view_ = std::make_shared<membership::View>();
    view_->cluster = kCluster;
    view_->members.push_back({.id = kSelf, .name = "self", .peer_urls = {url()}});
    for (size_t i = 0; i < urls.size(); ++i) {
      view_->members.push_back({.id = MemberId(2 + i), .peer_urls = std::move(urls[i])});
    }
    view_->removed = {kGone};
    network_->start({.member = kSelf, .cluster = kCluster, .peer_urls = {url()}}, &receiver_,
                    answers ? answers : &none_, view_, &home_);
  }
  ~LonePeer() override {
    listener_.reset();
    network_.reset();
  }

  // Times so short that a test can wait for them.
  static NetworkOptions quick() {
    NetworkOptions options;
    options.read_timeout = options.write_timeout = std::chrono::milliseconds(900);
    options.redial_pause = std::chrono::milliseconds(20);
    return options;
  }

  std::string url() const { return cat("http://127.0.0.1:", listener_->port()); }
  net::HttpPlace place() const { return *net::HttpPlace::parse(url()); }

  // The headers of a request of member 2.
  static std::string headers(std::string_view cluster = "c1", std::string_view version = "3.7.1",
                             std::string_view from = "2") {
    return cat("Host: x\r\nX-Server-From: ", from, "\r\nX-Server-Version: ", version,
               "\r\nX-Min-Cluster-Version: 3.0.0\r\nX-Etcd-Cluster-ID: ", cluster,
               "\r\nX-Raft-To: 1\r\n");
  }
  // A connection to its listener.
  net::ScriptedConnection connect() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(listener_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0);
    return net::ScriptedConnection(fd);
  }
  // "code body" of the answer to a request whose connection ends with it.
  std::string ask(std::string_view first_line, std::string_view fields,
                  std::string_view body = "") {
    net::ScriptedConnection connection = connect();
    connection.send(cat(first_line, " HTTP/1.1\r\n", fields, "Connection: close\r\n",
                        "Content-Length: ", body.size(), "\r\n\r\n", body));
    const std::string head = connection.head();
    if (head.size() < 12) return "none";
    std::string rest = connection.read_until("\x01never\x01");
    return cat(head.substr(9, 3), " ", rest);
  }

  static raft::Message message(raft::MessageType type, MemberId from = kOther,
                               MemberId to = kSelf) {
    return {.type = type, .to = to, .from = from, .term = Term(1)};
  }
  void send(raft::Message message) {
    std::vector<raft::Message> batch;
    batch.push_back(std::move(message));
    network_->send(std::move(batch));
  }

  log::QuietLog quiet_;
  NotingReceiver receiver_;
  NotingHome home_;
  NoAnswers none_;
  net::Router router_;
  std::unique_ptr<Network> network_;
  std::unique_ptr<net::Listener> listener_;
  std::shared_ptr<membership::View> view_;
};

// A chunk of an answer.
inline std::string chunk(std::string_view bytes) {
  return cat(absl::StrCat(absl::Hex(bytes.size())), "\r\n", bytes, "\r\n");
}

}  // namespace keelson::peer
