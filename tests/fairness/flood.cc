#include "tests/fairness/flood.h"

#include <chrono>

namespace keelson {
namespace {

grpc::ByteBuffer to_buffer(const std::string& body) {
  grpc::Slice slice(body);
  return grpc::ByteBuffer(&slice, 1);
}

}  // namespace

Flood::Flood(Options options) : options_(std::move(options)), body_(to_buffer(options_.body)) {
  for (int i = 0; i < options_.connections; ++i) {
    grpc::ChannelArguments arguments;
    arguments.SetInt("fairness.connection", i);  // shared with no other
    connections_.push_back({std::make_unique<grpc::GenericStub>(grpc::CreateCustomChannel(
                                options_.address, grpc::InsecureChannelCredentials(), arguments)),
                            0});
  }
  thread_ = std::thread([this] { run(); });
}

Flood::~Flood() { stop(); }

void Flood::stop() {
  stopping_ = true;
  if (thread_.joinable()) thread_.join();
}

void Flood::begin(Connection& connection) {
  connection.under_way = options_.calls;
  under_way_ += options_.calls;
  for (int i = 0; i < options_.calls; ++i) {
    auto call = std::make_unique<Call>();
    call->connection = &connection;
    call->context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(100));
    call->reader =
        connection.stub->PrepareUnaryCall(&call->context, options_.method, body_, &queue_);
    call->reader->StartCall();
    Call* tag = call.release();
    tag->reader->Finish(&tag->answer, &tag->status, tag);
  }
}

void Flood::run() {
  for (Connection& connection : connections_) begin(connection);
  while (under_way_ > 0) {
    void* tag = nullptr;
    bool ok = false;
    if (!queue_.Next(&tag, &ok)) break;
    const std::unique_ptr<Call> call(static_cast<Call*>(tag));
    count(call->status);
    --under_way_;
    if (--call->connection->under_way == 0 && !stopping_) begin(*call->connection);
  }
  queue_.Shutdown();
  void* tag = nullptr;
  bool ok = false;
  while (queue_.Next(&tag, &ok)) {
  }
}

void Flood::count(const grpc::Status& status) {
  if (status.ok()) {
    ++done_;
  } else if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED &&
             status.error_message() == "etcdserver: too many requests") {
    ++refused_;
  } else {
    other_error_ = std::to_string(status.error_code()) + " " + status.error_message();
  }
}

}  // namespace keelson
