// tests/harness/client.h
//
// A gRPC client on raw bytes: any method by its path, any body, malformed ones too. It is grpc++ on
// purpose: an implementation of the protocol that is not ours judges ours.
//
// Threads: a Client may be shared by threads; a Stream has one caller at a time.
// Lifetime: a Stream keeps its channel alive; it cancels its call when it dies.
// Errors: every call has a deadline; a call that outlives it answers DEADLINE_EXCEEDED.

#pragma once

#include <google/protobuf/message.h>
#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace keelson::harness {

using Milliseconds = std::chrono::milliseconds;

struct CallOptions {
  Milliseconds deadline{30000};
  std::multimap<std::string, std::string> metadata;
  bool wait_for_ready = false;  // through refused connections, until the deadline
};

struct Reply {
  grpc::Status status;
  std::string body;  // of a unary call that succeeded
};

// One call with streams on either side.
class Stream {
 public:
  Stream(std::shared_ptr<grpc::Channel> channel, const std::string& path,
         const CallOptions& options);
  ~Stream();

  // False when the call has ended.
  bool send(std::string_view body);
  void half_close();
  // The next message; nothing when none came before `patience` ran out or the call has ended
  // (then ended() tells which).
  std::optional<std::string> receive(Milliseconds patience);
  bool ended() const { return ended_; }
  // Waits for the call's end, dropping messages that still come.
  grpc::Status finish();
  void cancel() { context_.TryCancel(); }

 private:
  enum Tag : intptr_t { kNone, kStart, kRead, kWrite, kHalf, kFinish };

  bool wait_for(Tag tag, std::chrono::system_clock::time_point until, bool* ok);
  void take_read(bool ok);

  std::shared_ptr<grpc::Channel> channel_;
  grpc::ClientContext context_;
  grpc::CompletionQueue queue_;
  std::unique_ptr<grpc::GenericClientAsyncReaderWriter> call_;
  grpc::ByteBuffer incoming_;
  std::deque<std::string> inbox_;
  grpc::Status status_;
  bool reading_ = false;
  bool ended_ = false;
  bool finished_ = false;
  bool half_closed_ = false;
};

class Client {
 public:
  // `address` is "127.0.0.1:port". No connection is shared with other Clients.
  explicit Client(const std::string& address);

  Reply unary(const std::string& path, std::string_view body, const CallOptions& options = {});
  std::unique_ptr<Stream> stream(const std::string& path, const CallOptions& options = {});

  // The same with messages. The answer is filled only when the status is ok.
  grpc::Status unary(const std::string& path, const google::protobuf::Message& request,
                     google::protobuf::Message* answer, const CallOptions& options = {});

 private:
  std::shared_ptr<grpc::Channel> channel_;
};

}  // namespace keelson::harness
