// gRPC as an independent implementation sees it: grpc++ against our listener, over real sockets.

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/create_channel.h>
#include <grpcpp/impl/codegen/client_unary_call.h>
#include <grpcpp/impl/codegen/rpc_method.h>
#include <grpcpp/impl/codegen/sync_stream.h>
#include <grpcpp/support/byte_buffer.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/text.h"
#include "base/thread_lane.h"
#include "net/listener.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

using grpc::ByteBuffer;
using grpc::ClientContext;
using grpc::internal::RpcMethod;
using Streamer = grpc::ClientReaderWriter<ByteBuffer, ByteBuffer>;

ByteBuffer to_buffer(const std::string& text) {
  grpc::Slice slice(text);
  return ByteBuffer(&slice, 1);
}

std::string to_text(const ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  std::string text;
  if (!buffer.Dump(&slices).ok()) return "(undumpable)";
  for (const auto& slice : slices) {
    text.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  return text;
}

class GrpcClientTest : public testing::Test {
 protected:
  GrpcClientTest() { start("127.0.0.1:0"); }
  ~GrpcClientTest() override { listener_.reset(); }

  void start(const std::string& url) {
    auto listener = Listener::start(url, &pool_, &service_.router, nullptr, {});
    ASSERT_TRUE(listener.ok()) << listener.status().ToString();
    listener_ = *std::move(listener);
    std::string target = listener_->port() ? listener_->address() : "unix:" + listener_->address();
    grpc::ChannelArguments args;
    args.SetInt(GRPC_ARG_USE_LOCAL_SUBCHANNEL_POOL, 1);
    args.SetMaxReceiveMessageSize(-1);
    channel_ = grpc::CreateCustomChannel(target, grpc::InsecureChannelCredentials(), args);
  }

  grpc::Status unary(const std::string& path, ClientContext* context, const std::string& request,
                     std::string* response = nullptr) {
    RpcMethod method(path.c_str(), RpcMethod::NORMAL_RPC);
    ByteBuffer out;
    auto status = grpc::internal::BlockingUnaryCall<ByteBuffer, ByteBuffer>(
        channel_.get(), method, context, to_buffer(request), &out);
    if (response && status.ok()) *response = to_text(out);
    return status;
  }

  std::unique_ptr<Streamer> stream(ClientContext* context) {
    static const RpcMethod method("/test.Echo/Stream", RpcMethod::BIDI_STREAMING);
    return std::unique_ptr<Streamer>(
        grpc::internal::ClientReaderWriterFactory<ByteBuffer, ByteBuffer>::Create(channel_.get(),
                                                                                  method, context));
  }

  ThreadLane other_{"other"};
  TestService service_{&other_};
  LoopPool pool_{2};
  std::unique_ptr<Listener> listener_;
  std::shared_ptr<grpc::Channel> channel_;
};

TEST_F(GrpcClientTest, UnaryOfEverySize) {
  for (size_t size : {0u, 1u, 4u, 5u, 16383u, 16384u, 16385u, 65536u, 1'000'000u, 2'000'000u}) {
    ClientContext context;
    std::string request(size, 'q'), response;
    for (size_t i = 0; i < size; ++i) request[i] = static_cast<char>(i * 31 % 251);
    auto status = unary("/test.Echo/Unary", &context, request, &response);
    ASSERT_TRUE(status.ok()) << status.error_message();
    EXPECT_TRUE(response == request) << size;
  }
}

TEST_F(GrpcClientTest, AnswersFromAnotherThread) {
  for (int i = 0; i < 200; ++i) {
    ClientContext context;
    context.AddMetadata("later", "1");
    std::string response;
    ASSERT_TRUE(unary("/test.Echo/Unary", &context, cat("n", i), &response).ok());
    EXPECT_EQ(response, cat("n", i));
  }
}

TEST_F(GrpcClientTest, ErrorsKeepCodeAndText) {
  for (std::string text : {"etcdserver: mvcc: required revision has been compacted", "100% sure",
                           "zwei Zeilen\nund \xc3\xbcml\xc3\xa4ute", "tab\tquote\"", ""}) {
    for (int code : {1, 3, 5, 8, 9, 11, 14, 16}) {
      ClientContext context;
      context.AddMetadata("fail-bin", cat(code, " ", text));
      auto status = unary("/test.Echo/Unary", &context, "x");
      EXPECT_EQ(status.error_code(), code);
      EXPECT_EQ(status.error_message(), text);
    }
  }
}

TEST_F(GrpcClientTest, UnknownMethods) {
  auto message = [&](const std::string& path) {
    ClientContext context;
    auto status = unary(path, &context, "x");
    EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED);
    return status.error_message();
  };
  EXPECT_EQ(message("/no.Such/Method"), "unknown service no.Such");
  EXPECT_EQ(message("/test.Echo/Nothing"), "unknown method Nothing for service test.Echo");
  EXPECT_EQ(message("/nothing"), "malformed method name: \"/nothing\"");
}

TEST_F(GrpcClientTest, MetadataBothWays) {
  ClientContext context;
  std::string binary("\0\1\2\xff\xfe", 5);
  context.AddMetadata("mirror", "blob-bin");
  context.AddMetadata("blob-bin", binary);
  ASSERT_TRUE(unary("/test.Echo/Unary", &context, "x").ok());
  auto trailers = context.GetServerTrailingMetadata();
  auto found = trailers.find("mirrored-bin");
  ASSERT_NE(found, trailers.end());
  EXPECT_EQ(std::string(found->second.data(), found->second.size()), binary);

  ClientContext text;
  text.AddMetadata("mirror", "token");
  text.AddMetadata("token", "abc.def");
  ASSERT_TRUE(unary("/test.Echo/Unary", &text, "x").ok());
  auto header = text.GetServerInitialMetadata().find("mirrored");
  ASSERT_NE(header, text.GetServerInitialMetadata().end());
  EXPECT_EQ(std::string(header->second.data(), header->second.size()), "abc.def");
}

TEST_F(GrpcClientTest, DeadlineCancelsTheCall) {
  // On a machine under load the deadline may pass before the call has left the client.
  for (int wait = 50; service_.counters.get("hanging") == 0 && wait < 30000; wait *= 2) {
    ClientContext context;
    context.AddMetadata("hang", "1");
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::milliseconds(wait));
    EXPECT_EQ(unary("/test.Echo/Unary", &context, "x").error_code(), grpc::DEADLINE_EXCEEDED);
  }
  EXPECT_TRUE(service_.counters.wait_for("cancelled", 1));
  service_.unary.forget();
}

TEST_F(GrpcClientTest, ClientCancelReachesUnaryAndStream) {
  ClientContext context;
  auto call = stream(&context);
  ASSERT_TRUE(call->Write(to_buffer("hello")));
  ByteBuffer in;
  ASSERT_TRUE(call->Read(&in));
  EXPECT_EQ(to_text(in), "hello");
  context.TryCancel();
  EXPECT_EQ(call->Finish().error_code(), grpc::CANCELLED);
  EXPECT_TRUE(service_.counters.wait_for("cancelled", 1));
  EXPECT_TRUE(service_.counters.wait_for("destroyed", 1));
}

TEST_F(GrpcClientTest, StreamEchoesInOrder) {
  ClientContext context;
  auto call = stream(&context);
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) call->Write(to_buffer(cat("message ", i)));
    call->WritesDone();
  });
  ByteBuffer in;
  int next = 0;
  while (call->Read(&in)) EXPECT_EQ(to_text(in), cat("message ", next++));
  writer.join();
  EXPECT_EQ(next, 2000);
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_EQ(service_.counters.get("cancelled"), 0);
}

TEST_F(GrpcClientTest, ServerEndsAStreamFirst) {
  ClientContext context;
  auto call = stream(&context);
  ASSERT_TRUE(call->Write(to_buffer("one")));
  ASSERT_TRUE(call->Write(to_buffer("fail")));
  ByteBuffer in;
  ASSERT_TRUE(call->Read(&in));
  EXPECT_FALSE(call->Read(&in));
  auto status = call->Finish();
  EXPECT_EQ(status.error_code(), grpc::ABORTED);
  EXPECT_EQ(status.error_message(), "as asked");
}

TEST_F(GrpcClientTest, TooLargeARequest) {
  ClientContext context;
  auto status = unary("/test.Echo/Small", &context, std::string(65537, 'x'));
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "grpc: received message larger than max (65537 vs. 65536)");
  ClientContext again;
  EXPECT_TRUE(unary("/test.Echo/Small", &again, std::string(65536, 'x')).ok());
}

TEST_F(GrpcClientTest, GzipRequests) {
  std::string request(60'000, 'z'), response;
  ClientContext context;
  context.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  auto status = unary("/test.Echo/Small", &context, request, &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_TRUE(response == request);

  // A bomb is stopped at the limit.
  ClientContext bomb;
  bomb.set_compression_algorithm(GRPC_COMPRESS_GZIP);
  status = unary("/test.Echo/Small", &bomb, std::string(10'000'000, 'z'));
  EXPECT_EQ(status.error_code(), grpc::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(),
            "grpc: received message after decompression larger than max 65536");

  ClientContext deflate;
  deflate.set_compression_algorithm(GRPC_COMPRESS_DEFLATE);
  status = unary("/test.Echo/Unary", &deflate, request);
  EXPECT_EQ(status.error_code(), grpc::UNIMPLEMENTED);
  EXPECT_EQ(status.error_message(),
            "grpc: Decompressor is not installed for grpc-encoding \"deflate\"");
}

TEST_F(GrpcClientTest, LargeAnswers) {
  ClientContext context;
  context.AddMetadata("reply", cat(64 << 20));
  std::string response;
  ASSERT_TRUE(unary("/test.Echo/Unary", &context, "", &response).ok());
  EXPECT_EQ(response.size(), size_t{64} << 20);
  EXPECT_EQ(response.find_first_not_of('r'), std::string::npos);
}

TEST_F(GrpcClientTest, SlowReaderCostsBoundedMemory) {
  ClientContext context;
  context.AddMetadata("flood", "1024 65536");
  auto call = stream(&context);
  ByteBuffer in;
  size_t total = 0;
  // The client reads one message at a time; what it does not ask for stays with the server, and the
  // server makes no more than its pending bytes allow.
  while (call->Read(&in)) total += in.Length();
  EXPECT_EQ(total, size_t{1024} * 65536);
  EXPECT_TRUE(call->Finish().ok());
  EXPECT_LE(service_.stream.peak, (256u << 10) + (64u << 10) + 16);
}

TEST_F(GrpcClientTest, DrainFinishesWhatRuns) {
  ClientContext context;
  context.AddMetadata("hang", "1");
  std::string response;
  grpc::Status status;
  std::thread client([&] { status = unary("/test.Echo/Unary", &context, "x", &response); });
  ASSERT_TRUE(service_.counters.wait_for("hanging", 1));
  std::thread drainer([&] { listener_->drain(std::chrono::seconds(30)); });
  service_.unary.release();
  client.join();
  drainer.join();
  EXPECT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response, "released");
  EXPECT_EQ(listener_->connections(), 0u);
}

TEST_F(GrpcClientTest, DrainCutsAtItsDeadline) {
  ClientContext context;
  auto call = stream(&context);
  ASSERT_TRUE(call->Write(to_buffer("hello")));
  ByteBuffer in;
  ASSERT_TRUE(call->Read(&in));
  listener_->drain(std::chrono::milliseconds(20));
  EXPECT_EQ(listener_->connections(), 0u);
  EXPECT_FALSE(call->Read(&in));
  EXPECT_EQ(call->Finish().error_code(), grpc::UNAVAILABLE);
  EXPECT_EQ(service_.counters.get("cancelled"), 1);
}

TEST_F(GrpcClientTest, UnixSocket) {
  std::string path = cat("/tmp/keelson-net-test-", getpid(), ".sock");
  listener_.reset();
  start("unix://" + path);
  ClientContext context;
  std::string response;
  auto status = unary("/test.Echo/Unary", &context, "over unix", &response);
  ASSERT_TRUE(status.ok()) << status.error_message();
  EXPECT_EQ(response, "over unix");
  listener_.reset();
  EXPECT_NE(access(path.c_str(), F_OK), 0) << "the socket file stays behind";
}

TEST_F(GrpcClientTest, ManyAtOnceOnOneChannel) {
  std::vector<std::thread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 8; ++t) {
    threads.emplace_back([&, t] {
      for (int i = 0; i < 100; ++i) {
        ClientContext context;
        if (i % 3 == 0) context.AddMetadata("later", "1");
        std::string request = cat(t, "/", i) + std::string(static_cast<size_t>(i) * 100, '.');
        std::string response;
        if (unary("/test.Echo/Unary", &context, request, &response).ok() && response == request) {
          ++good;
        }
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(good, 800);
}

}  // namespace
}  // namespace keelson::net
