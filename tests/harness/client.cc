#include "tests/harness/client.h"

#include "tests/harness/schema.h"
#include "tests/harness/tls.h"

namespace keelson::harness {
namespace {

using std::chrono::system_clock;

grpc::ByteBuffer to_buffer(std::string_view body) {
  grpc::Slice slice(body.data(), body.size());
  return grpc::ByteBuffer(&slice, 1);
}

std::string to_string(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Valid() || !buffer.Dump(&slices).ok()) return "";
  std::string out;
  out.reserve(buffer.Length());
  for (const grpc::Slice& slice : slices) {
    out.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return out;
}

void prepare(grpc::ClientContext& context, const CallOptions& options) {
  context.set_deadline(system_clock::now() + options.deadline);
  context.set_wait_for_ready(options.wait_for_ready);
  for (const auto& [key, value] : options.metadata) context.AddMetadata(key, value);
}

}  // namespace

Stream::Stream(std::shared_ptr<grpc::Channel> channel, const std::string& path,
               const CallOptions& options)
    : channel_(std::move(channel)) {
  prepare(context_, options);
  call_ = grpc::GenericStub(channel_).PrepareCall(&context_, path, &queue_);
  call_->StartCall(reinterpret_cast<void*>(kStart));
  bool ok = false;
  wait_for(kStart, system_clock::time_point::max(), &ok);
  if (!ok) ended_ = true;
}

Stream::~Stream() {
  if (!finished_) {
    context_.TryCancel();
    finish();
  }
  queue_.Shutdown();
  void* tag;
  bool ok;
  while (queue_.Next(&tag, &ok)) {
  }
}

// Runs the queue until `tag` completes. Reads that complete meanwhile go to the inbox.
bool Stream::wait_for(Tag tag, system_clock::time_point until, bool* ok) {
  while (true) {
    void* done = nullptr;
    if (queue_.AsyncNext(&done, ok, until) != grpc::CompletionQueue::GOT_EVENT) return false;
    const auto what = static_cast<Tag>(reinterpret_cast<intptr_t>(done));
    if (what == kRead) take_read(*ok);
    if (what == tag) return true;
  }
}

void Stream::take_read(bool ok) {
  reading_ = false;
  if (!ok) {
    ended_ = true;
    return;
  }
  inbox_.push_back(to_string(incoming_));
  incoming_.Clear();
}

bool Stream::send(std::string_view body) {
  if (finished_ || half_closed_) return false;
  bool ok = false;
  call_->Write(to_buffer(body), reinterpret_cast<void*>(kWrite));
  wait_for(kWrite, system_clock::time_point::max(), &ok);
  return ok;
}

void Stream::half_close() {
  if (finished_ || half_closed_) return;
  half_closed_ = true;
  bool ok = false;
  call_->WritesDone(reinterpret_cast<void*>(kHalf));
  wait_for(kHalf, system_clock::time_point::max(), &ok);
}

std::optional<std::string> Stream::receive(Milliseconds patience) {
  const auto until = system_clock::now() + patience;
  while (inbox_.empty()) {
    if (ended_ || finished_) return std::nullopt;
    if (!reading_) {
      reading_ = true;
      call_->Read(&incoming_, reinterpret_cast<void*>(kRead));
    }
    bool ok = false;
    if (!wait_for(kRead, until, &ok)) return std::nullopt;
  }
  std::string first = std::move(inbox_.front());
  inbox_.pop_front();
  return first;
}

grpc::Status Stream::finish() {
  if (finished_) return status_;
  while (!ended_) {
    if (!receive(Milliseconds(60000)).has_value() && !ended_) context_.TryCancel();
  }
  finished_ = true;
  bool ok = false;
  call_->Finish(&status_, reinterpret_cast<void*>(kFinish));
  wait_for(kFinish, system_clock::time_point::max(), &ok);
  return status_;
}

Client::Client(const std::string& address) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(-1);
  arguments.SetMaxSendMessageSize(-1);
  arguments.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, 50);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, 200);
  arguments.SetInt(GRPC_ARG_ENABLE_RETRIES, 0);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  const TestTls* tls = test_tls();
  const auto credentials = tls == nullptr ? grpc::InsecureChannelCredentials()
                                          : grpc::SslCredentials({.pem_root_certs = tls->pem});
  channel_ = grpc::CreateCustomChannel(address, credentials, arguments);
}

Reply Client::unary(const std::string& path, std::string_view body, const CallOptions& options) {
  grpc::ClientContext context;
  prepare(context, options);
  grpc::CompletionQueue queue;
  auto call = grpc::GenericStub(channel_).PrepareUnaryCall(&context, path, to_buffer(body), &queue);
  call->StartCall();
  Reply reply;
  grpc::ByteBuffer answer;
  call->Finish(&answer, &reply.status, nullptr);
  void* tag = nullptr;
  bool ok = false;
  queue.Next(&tag, &ok);
  if (reply.status.ok()) reply.body = to_string(answer);
  queue.Shutdown();
  while (queue.Next(&tag, &ok)) {
  }
  return reply;
}

std::unique_ptr<Stream> Client::stream(const std::string& path, const CallOptions& options) {
  return std::make_unique<Stream>(channel_, path, options);
}

grpc::Status Client::unary(const std::string& path, const google::protobuf::Message& request,
                           google::protobuf::Message* answer, const CallOptions& options) {
  Reply reply = unary(path, request.SerializeAsString(), options);
  if (reply.status.ok() && !parse(reply.body, answer)) {
    return {grpc::StatusCode::INTERNAL, "the answer does not parse"};
  }
  return reply.status;
}

}  // namespace keelson::harness
