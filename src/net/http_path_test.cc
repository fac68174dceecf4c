// What paths mean and where they lead. The cases are what etcd's server answers (Go 1.26).

#include "net/http_path.h"

#include <gtest/gtest.h>

#include <map>

#include "base/text.h"
#include "net/memory_connection.h"
#include "net/router.h"
#include "net/test_service.h"

namespace keelson::net {
namespace {

TEST(HttpPathTest, WhatEscapesMean) {
  const auto meant = [](std::string_view path) { return meant_path(path).value_or("bad"); };
  EXPECT_EQ(meant("/v3/kv/%70ut"), "/v3/kv/put");
  EXPECT_EQ(meant("/%2F%2f%C3%a9+%25"), "///\xc3\xa9+%");
  EXPECT_EQ(meant(""), "");
  for (const char* path : {"/%", "/%7", "/%zz", "/%7g", "/a%", "/%%41"})
    EXPECT_EQ(meant(path), "bad");
}

TEST(HttpPathTest, HowAPathIsWritten) {
  EXPECT_EQ(written_path("/a/%2f;x='(*)'!", "/a//;x='(*)'!"), "/a/%2f;x='(*)'!");
  EXPECT_EQ(written_path("/%41", "/A"), "/%41");
  // In one character that is none of a path's: written anew, and what was an escaped slash is one.
  EXPECT_EQ(written_path("/%2f\"", "//\""), "//%22");
  EXPECT_EQ(written_path("/a", "/b c"), "/b%20c");
  EXPECT_EQ(written_path("/\xc3\xa9?#'*[$&+,:;=@-_.~"), "/%C3%A9%3F%23%27%2A%5B$&+,:;=@-_.~");
}

TEST(HttpPathTest, InOrder) {
  const std::map<std::string, std::string> cases = {
      {"", "/"},           {"/", "/"},          {"//", "/"},           {"/.", "/"},
      {"/..", "/"},        {"/a", "/a"},        {"/a/", "/a/"},        {"//a", "/a"},
      {"/a//b/", "/a/b/"}, {"/a/./b", "/a/b"},  {"/a/../b", "/b"},     {"/../../b", "/b"},
      {"/a/b/..", "/a"},   {"/a/b/../", "/a/"}, {"/a/.", "/a"},        {"/...", "/..."},
      {"/a..", "/a.."},    {"a", "/a"},         {"/%2e%2e", "/%2e%2e"}};
  for (const auto& [path, clean] : cases) {
    EXPECT_EQ(clean_path(path), clean) << path;
    EXPECT_EQ(clean_path(clean), clean) << path;
  }
}

TEST(HttpPathTest, Keys) {
  using namespace std::string_literals;
  EXPECT_EQ(path_key("/"), "/");
  EXPECT_EQ(path_key("/%76%33/a%2fb/"), "/v3/a\0b/"s);
  EXPECT_EQ(path_key("/%00"), "/\0"s);
}

TEST(HttpPathTest, WhatIsPlainIsItsOwnKeyAndInOrder) {
  constexpr std::string_view kLetters = "/.%2Fa";
  for (int i = 0; i < 6 * 6 * 6 * 6 * 6; ++i) {
    std::string path = "/";
    for (int rest = i; rest > 0; rest /= 6) path += kLetters[rest % 6];
    if (!is_plain_path(path)) continue;
    EXPECT_EQ(clean_path(path), path);
    EXPECT_EQ(path_key(path), path);
    EXPECT_EQ(meant_path(path), path);
  }
}

// Says which of them got the request, and how the path was meant.
class Named final : public HttpHandler {
 public:
  explicit Named(std::string name) : name_(std::move(name)) {}
  void handle(HttpRequest request, HttpReplyRef reply) override {
    HttpResponse response;
    response.body = MessageParts::copy(cat(name_, " got ", request.path(), ";"));
    reply->send(std::move(response));
  }

 private:
  const std::string name_;
};

class HttpRoutesTest : public testing::Test {
 protected:
  HttpRoutesTest() {
    router_.http("/version", &version_);
    router_.http("/debug/vars", &vars_);
    router_.http_prefix("/v3/", &gateway_, {.escaped_slashes = true});
    router_.http("/v3/lease/keepalive", &keepalive_);
    router_.http_prefix("/debug/pprof/", &pprof_);
    router_.http_alias("/v3beta/", "/v3/");
  }
  // "200 …", "307 to …", "404".
  std::string outcome(std::string_view target, std::string_view method = "GET") {
    MemoryServer<Http1Session> server(&router_);
    server.feed(cat(method, " ", target, " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"));
    server.settle();
    const std::string all = server.take();
    const std::string code = all.substr(9, 3);
    if (const size_t at = all.find("Location: "); at != std::string::npos) {
      return cat(code, " to ", all.substr(at + 10, all.find('\r', at) - at - 10));
    }
    if (code != "200") return code;
    const size_t body = all.find("\r\n\r\n") + 4;
    return all.substr(body, all.find(';', body) - body);
  }

  Named version_{"version"}, vars_{"vars"}, gateway_{"gateway"}, keepalive_{"keepalive"},
      pprof_{"pprof"}, rest_{"rest"};
  Router router_;
};

TEST_F(HttpRoutesTest, AsMeantPartByPart) {
  EXPECT_EQ(outcome("/%76ersion"), "version got /version");
  EXPECT_EQ(outcome("http://other/%76ersion?x=%zz"), "version got /version");
  EXPECT_EQ(outcome("/debug%2Fvars"), "404");
  EXPECT_EQ(outcome("/%2Fversion"), "404");
  EXPECT_EQ(outcome("/%2e/version"), "404");
  EXPECT_EQ(outcome("/version%00"), "404");
  EXPECT_EQ(outcome("/version#x"), "404");
  EXPECT_EQ(outcome("/version/"), "404");
  for (const char* target : {"/%", "/%zz", "/version%7"}) EXPECT_EQ(outcome(target), "400");
}

TEST_F(HttpRoutesTest, BelowAPrefixThatWantsItAnEscapedSlashIsOne) {
  EXPECT_EQ(outcome("/v3/kv%2Fput"), "gateway got /v3/kv/put");
  EXPECT_EQ(outcome("/%763/lease%2Fkeepalive"), "keepalive got /v3/lease/keepalive");
  EXPECT_EQ(outcome("/v3%2Flease/keepalive"), "404");
  EXPECT_EQ(outcome("/v3/%2e%2e/version"), "gateway got /v3/../version");
  EXPECT_EQ(outcome("/v3/..%2f..%2fversion"), "gateway got /v3/../../version");
  EXPECT_EQ(outcome("/debug/pprof/a%2Fb"), "pprof got /debug/pprof/a/b");
}

TEST_F(HttpRoutesTest, AnOldNameIsTheNewOneWhateverItIsWrittenAs) {
  EXPECT_EQ(outcome("/v3beta/kv/put"), "gateway got /v3/kv/put");
  EXPECT_EQ(outcome("/v3%62eta/lease/%6beepalive"), "keepalive got /v3/lease/keepalive");
  EXPECT_EQ(outcome("/v3beta%2Fkv/put"), "gateway got /v3/kv/put");
  EXPECT_EQ(outcome("/v3beta//kv/put"), "307 to /v3/kv/put");
  EXPECT_EQ(outcome("/v3beta/../version"), "307 to /version");
  EXPECT_EQ(outcome("//v3beta/kv/put"), "307 to /v3beta/kv/put");
  EXPECT_EQ(outcome("/v3beta"), "404");
}

TEST_F(HttpRoutesTest, OtherFormsAreSentToTheRightOne) {
  EXPECT_EQ(outcome("//version?a=%20"), "307 to /version?a=%20");
  EXPECT_EQ(outcome("/v3/../version", "POST"), "307 to /version");
  EXPECT_EQ(outcome("http://other"), "307 to /");
  EXPECT_EQ(outcome("http://other?a"), "307 to /?a");
  EXPECT_EQ(outcome("/v3"), "307 to /v3/");
  EXPECT_EQ(outcome("//%763/."), "307 to /v3/");
  EXPECT_EQ(outcome("/debug/pprof?x"), "307 to /debug/pprof/?x");
  EXPECT_EQ(outcome("/a//%C3%A9\\"), "307 to /a/%C3%A9%5C");
  // Nobody else's place.
  EXPECT_EQ(outcome("//evil.example/./x"), "307 to /evil.example/x");
  EXPECT_EQ(outcome("/./\\evil.example"), "307 to /%5Cevil.example");
  EXPECT_EQ(outcome("/.//%2Fevil.example"), "307 to /%2Fevil.example");
  // Whose path means nothing of the kind.
  EXPECT_EQ(outcome("//version", "CONNECT"), "404");
  EXPECT_EQ(outcome("*", "OPTIONS"), "");
}

TEST_F(HttpRoutesTest, TheRestMayBeAnsweredByAnother) {
  router_.http_rest(&rest_);
  EXPECT_EQ(outcome("/nothing"), "rest got /nothing");
  EXPECT_EQ(outcome("//version"), "rest got //version");
  EXPECT_EQ(outcome("/%2Fversion"), "rest got //version");
  EXPECT_EQ(outcome("/version"), "version got /version");
}

// What is thrown away has no bound.
TEST_F(HttpRoutesTest, NothingIsThereForALongBodyEither) {
  MemoryServer<Http1Session> server(&router_);
  server.feed("POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\nx");
  server.settle();
  EXPECT_EQ(server.take(), "");
  server.feed("y");
  server.settle();
  EXPECT_EQ(server.take(), "");
}

}  // namespace
}  // namespace keelson::net
