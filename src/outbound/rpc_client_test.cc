// Calls to servers of grpc++'s that echo, fail or hang.

#include "outbound/rpc_client.h"

#include <grpcpp/generic/async_generic_service.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>

#include "base/errors.h"
#include "base/text.h"

namespace keelson::outbound {
namespace {

class Reactor final : public grpc::ServerGenericBidiReactor {
 public:
  explicit Reactor(std::string method) : method_(std::move(method)) {
    if (method_ == "/test/Fail") {
      Finish({grpc::StatusCode::NOT_FOUND, "not here"});
    } else if (method_ != "/test/Hang") {
      StartRead(&message_);
    }
  }
  void OnReadDone(bool ok) override { ok ? StartWrite(&message_) : Finish(grpc::Status::OK); }
  void OnWriteDone(bool ok) override {
    if (ok) StartRead(&message_);
  }
  void OnCancel() override {
    if (method_ == "/test/Hang") Finish(grpc::Status::CANCELLED);
  }
  void OnDone() override { delete this; }

 private:
  const std::string method_;
  grpc::ByteBuffer message_;
};

class Server final : public grpc::CallbackGenericService {
 public:
  Server() {
    grpc::ServerBuilder builder;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port_);
    builder.RegisterCallbackGenericService(this);
    server_ = builder.BuildAndStart();
  }
  std::string address() const { return cat("127.0.0.1:", port_); }
  void stop() { server_->Shutdown(std::chrono::system_clock::now()); }
  grpc::ServerGenericBidiReactor* CreateReactor(grpc::GenericCallbackServerContext* at) override {
    return new Reactor(at->method());
  }

 private:
  int port_ = 0;
  std::unique_ptr<grpc::Server> server_;
};

std::unique_ptr<ClusterClient> client_of(std::vector<std::string> endpoints,
                                         ClusterClientOptions options = {}) {
  options.endpoints = std::move(endpoints);
  options.channel.keepalive = false;
  auto client = ClusterClient::open(options);
  EXPECT_TRUE(client.ok()) << client.status();
  return *std::move(client);
}

struct Asked {
  std::shared_ptr<RpcCall> call;
  std::future<absl::StatusOr<std::string>> answer;
};
Asked ask(ClusterClient& client, RpcRequest request) {
  auto promise = std::make_shared<std::promise<absl::StatusOr<std::string>>>();
  Asked asked{nullptr, promise->get_future()};
  asked.call = client.unary(std::move(request), [promise](absl::StatusOr<Parts> answered) {
    answered.ok() ? promise->set_value(answered->flat()) : promise->set_value(answered.status());
  });
  return asked;
}

TEST(RpcClient, AsksAndHears) {
  Server server;
  const auto client = client_of({server.address()}, {.max_send_bytes = 100});
  EXPECT_EQ(*ask(*client, {.path = "/test/Echo", .message = Bytes::copy("hello")}).answer.get(),
            "hello");
  EXPECT_EQ(ask(*client, {.path = "/test/Fail"}).answer.get().status(),
            absl::NotFoundError("not here"));
  Asked large = ask(*client, {.path = "/test/Echo", .message = Bytes::copy(std::string(101, 'x'))});
  EXPECT_EQ(large.answer.get().status(),
            absl::ResourceExhaustedError("trying to send message larger than max (101 vs. 100)"));
  EXPECT_TRUE(client->wait_until_idle(std::chrono::seconds(30)));
}

TEST(RpcClient, BoundsWhatIsUnderWayAndEndsWhatIsCancelled) {
  Server server;
  const auto client = client_of({server.address()}, {.max_calls = 2});
  Asked one = ask(*client, {.path = "/test/Hang"}), other = ask(*client, {.path = "/test/Hang"});
  EXPECT_EQ(ask(*client, {.path = "/test/Echo"}).answer.get().status(),
            errors::RequestTooManyRequests());
  EXPECT_EQ(client->calls(), 2u);
  one.call->cancel();
  EXPECT_TRUE(absl::IsCancelled(one.answer.get().status()));
  other.call->cancel();
  EXPECT_TRUE(absl::IsCancelled(other.answer.get().status()));
  EXPECT_TRUE(client->wait_until_idle(std::chrono::seconds(30)));
}

TEST(RpcClient, AsksAnotherServerIfItMay) {
  Server gone, server;
  gone.stop();
  const auto client = client_of({gone.address(), server.address()});
  for (int i = 0; i < 4; ++i) {
    EXPECT_TRUE(ask(*client, {.path = "/test/Echo", .repeatable = true}).answer.get().ok());
  }
  ASSERT_TRUE(client->set_endpoints({gone.address()}).ok());
  EXPECT_TRUE(absl::IsUnavailable(
      ask(*client, {.path = "/test/Echo", .repeatable = true}).answer.get().status()));
  EXPECT_TRUE(client->wait_until_idle(std::chrono::seconds(30)));
}

// Run by the test's own thread.
class Lane final : public Executor {
 public:
  void post(Task task) override {
    std::lock_guard lock(mutex_);
    tasks_.push_back(std::move(task));
    there_.notify_one();
  }
  void post_after(Duration /*delay*/, Task task) override { post(std::move(task)); }
  void step() {
    std::unique_lock lock(mutex_);
    there_.wait(lock, [this] { return !tasks_.empty(); });
    Task task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
    task();
  }

 private:
  std::mutex mutex_;
  std::condition_variable there_;
  std::deque<Task> tasks_;
};

struct Heard {
  std::vector<std::string> messages;
  int written = 0;
  std::optional<absl::Status> end;
};
class Events final : public RpcStreamEvents {
 public:
  explicit Events(Heard* heard) : heard_(*heard) {}
  void on_message(Parts message) override { heard_.messages.push_back(message.flat()); }
  void on_written() override { ++heard_.written; }
  void on_end(absl::Status status) override { heard_.end = std::move(status); }

 private:
  Heard& heard_;
};

TEST(RpcClient, StreamsOnALane) {
  Server server;
  Lane lane;
  Heard heard;
  const auto client = client_of({server.address()});
  const auto stream =
      client->stream({.path = "/test/Echo"}, &lane, std::make_unique<Events>(&heard));
  for (int i = 0; i < 3; ++i) {
    stream->read();
    stream->write(Bytes::copy(cat(i)));
    const auto enough = static_cast<size_t>(i + 1);
    while (heard.messages.size() < enough || heard.written < i + 1) lane.step();
  }
  EXPECT_EQ(heard.messages, (std::vector<std::string>{"0", "1", "2"}));
  stream->read();
  stream->half_close();
  while (!heard.end) lane.step();
  EXPECT_TRUE(heard.end->ok());
}

TEST(RpcClient, AStreamEndsWhenItIsCancelledOrItsServerGoes) {
  Server server;
  Lane lane;
  Heard cancelled, lost;
  const auto client = client_of({server.address()});
  client->stream({.path = "/test/Hang"}, &lane, std::make_unique<Events>(&cancelled))->cancel();
  while (!cancelled.end) lane.step();
  EXPECT_TRUE(absl::IsCancelled(*cancelled.end));
  const auto stream =
      client->stream({.path = "/test/Hang"}, &lane, std::make_unique<Events>(&lost));
  stream->read();
  server.stop();
  while (!lost.end) lane.step();
  EXPECT_FALSE(lost.end->ok());
  EXPECT_TRUE(client->wait_until_idle(std::chrono::seconds(30)));
}

// Who ends what answers go to waits until nothing is under way.
TEST(RpcClient, ACallIsUnderWayUntilItsAnswerHasBeenTaken) {
  Server server;
  const auto client = client_of({server.address()});
  std::promise<size_t> seen;
  client->unary({.path = "/test/Echo", .message = Bytes::copy("x")},
                [&](absl::StatusOr<Parts>) { seen.set_value(client->calls()); });
  EXPECT_EQ(seen.get_future().get(), 1u);
  EXPECT_TRUE(client->wait_until_idle(std::chrono::seconds(60)));
}

}  // namespace
}  // namespace keelson::outbound
