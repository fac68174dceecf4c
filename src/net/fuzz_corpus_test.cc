// Runs the fuzzers' entry points over testdata/fuzz_* and over random changes of it, so that every
// build exercises them.

#include <gtest/gtest.h>

#include "base/test_mutation.h"
#include "base/test_seeds.h"
#include "net/memory_connection.h"
#include "net/test_service.h"

namespace keelson::net {

void fuzz_client_exchange(std::string_view input);
void fuzz_grpc(std::string_view input);
void fuzz_http1(std::string_view input);
void fuzz_http1_response(std::string_view input);
void fuzz_http2(std::string_view input);

namespace {

using Entry = void (*)(std::string_view);

void run(Entry entry, const std::string& name) {
  auto inputs = fuzz_corpus(KEELSON_SOURCE_DIR "/src/net/testdata/" + name);
  ASSERT_FALSE(inputs.empty());
  for (const std::string& input : inputs) entry(input);
  for_each_seed(
      {.count = 100, .also = {119633229584744905, 119633229584755489, 590638825392219374}},
      [&](uint64_t seed) {
        SeededRandom random(seed);
        for (int i = 0; i < 30; ++i) entry(mutated(inputs[random.below(inputs.size())], random));
      });
}

TEST(FuzzCorpusTest, ClientExchange) { run(fuzz_client_exchange, "fuzz_client_exchange"); }
TEST(FuzzCorpusTest, Grpc) { run(fuzz_grpc, "fuzz_grpc"); }
// A client may send any byte of a request alone.
TEST(FuzzCorpusTest, ChunksByteByByte) {
  const std::string head = "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const char* body : {"0\r\n\r\n", "3\r\nabc\r\n0\r\n\r\n", "0;x=y\r\nA: b\r\n\r\n"}) {
    TestService service;
    MemoryServer<Http1Session> server(&service.router);
    for (char byte : head + body) server.feed({&byte, 1});
    server.settle();
    const std::string answer = server.take();
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 ")) << answer;
    EXPECT_EQ(answer.ends_with("abc"), body[0] == '3') << answer;
    server.close();
  }
}

TEST(FuzzCorpusTest, Http1) { run(fuzz_http1, "fuzz_http1"); }
TEST(FuzzCorpusTest, Http1Response) { run(fuzz_http1_response, "fuzz_http1_response"); }
TEST(FuzzCorpusTest, Http2) { run(fuzz_http2, "fuzz_http2"); }

}  // namespace
}  // namespace keelson::net
