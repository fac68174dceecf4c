// tests/fairness/flood.h
//
// A client that wants all: many connections, each of which has so many of the same call under way,
// and begins again when all of them are answered.
//
// Threads: one of its own between the constructor and stop(); counts are for any.

#pragma once

#include <grpcpp/generic/generic_stub.h>
#include <grpcpp/grpcpp.h>

#include <atomic>
#include <memory>
#include <string>
#include <thread>
#include <vector>

namespace keelson {

class Flood {
 public:
  struct Options {
    std::string address;
    std::string method;
    std::string body;
    int connections = 64;
    int calls = 100;  // of each
  };
  explicit Flood(Options options);
  ~Flood();

  // Lets what is under way end, and begins nothing more.
  void stop();

  int done() const { return done_; }
  int refused() const { return refused_; }                  // ResourceExhausted, with etcd's text
  std::string other_error() const { return other_error_; }  // after stop(); empty: there was none

 private:
  struct Connection {
    std::unique_ptr<grpc::GenericStub> stub;
    int under_way = 0;
  };
  struct Call {
    Connection* connection;
    grpc::ClientContext context;
    grpc::ByteBuffer answer;
    grpc::Status status;
    std::unique_ptr<grpc::GenericClientAsyncResponseReader> reader;
  };

  void run();
  void begin(Connection& connection);
  void count(const grpc::Status& status);

  const Options options_;
  const grpc::ByteBuffer body_;
  grpc::CompletionQueue queue_;
  std::vector<Connection> connections_;
  int under_way_ = 0;  // its thread's
  std::atomic<bool> stopping_{false};
  std::atomic<int> done_{0}, refused_{0};
  std::string other_error_;
  std::thread thread_;
};

}  // namespace keelson
