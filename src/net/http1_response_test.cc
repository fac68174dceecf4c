// What is an answer of an HTTP/1 server, and what is none.

#include "net/http1_response.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace keelson::net {
namespace {

constexpr size_t kLimit = 8 << 10;

// One answer: "200 body", with "…" behind it if its end is not there and " closes" if it ends the
// connection; or what is wrong with it.
std::string outcome(std::string_view text, bool ends = false, bool to_head = false) {
  Http1Response response(kLimit, to_head);
  std::string_view input = text;
  absl::Status status = response.take(&input);
  if (status.ok() && ends) status = response.end_of_input();
  if (!status.ok()) {
    EXPECT_TRUE(absl::IsUnavailable(status)) << status;
    return std::string(message_of(status));
  }
  if (!response.head_complete()) return "…";
  const std::string begin = cat(response.head().status, " ", response.body());
  if (!response.complete()) return begin + "…";
  return cat(begin, response.keeps_alive() ? "" : " closes", input.empty() ? "" : cat(" +", input));
}

std::string malformed(std::string_view why) { return cat("malformed HTTP response: ", why); }

TEST(Http1ResponseTest, TheBodysLength) {
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabc"), "200 ab +c");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"), "200 a…");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"), "200 ");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nab\r\n"
                    "1\r\nc\r\n0\r\nA: b\r\n\r\n"),
            "200 abc");
  // Until the server closes.
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\n\r\nabc"), "200 abc…");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\n\r\nabc", true), "200 abc closes");
  EXPECT_EQ(outcome("HTTP/1.0 200 OK\r\n\r\nabc", true), "200 abc closes");
}

TEST(Http1ResponseTest, AnswersThatHaveNoBody) {
  for (int status : {204, 304}) {
    const std::string head = cat("HTTP/1.1 ", status, " x\r\nContent-Length: 9\r\n\r\n");
    EXPECT_EQ(outcome(head), cat(status, " "));
  }
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", false, true), "200 ");
  EXPECT_EQ(outcome("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, true), "200 ");
}

TEST(Http1ResponseTest, WhetherTheConnectionGoesOn) {
  const std::string_view end = "Content-Length: 1\r\n\r\nx";
  EXPECT_EQ(outcome(cat("HTTP/1.1 200 OK\r\nConnection: close\r\n", end)), "200 x closes");
  EXPECT_EQ(outcome(cat("HTTP/1.0 200 OK\r\n", end)), "200 x closes");
  EXPECT_EQ(outcome(cat("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n", end)), "200 x");
}

TEST(Http1ResponseTest, WhatComesBeforeTheAnswer) {
  const std::string_view early = "HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n";
  const std::string_view answer = "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx";
  std::string text = cat("HTTP/1.1 100 Continue\r\n\r\n", early);
  EXPECT_EQ(outcome(cat(text, answer)), "200 x");
  EXPECT_EQ(outcome(text), "…");
  EXPECT_EQ(outcome(text, true), "unexpected EOF");
  for (int i = 0; i < 3; ++i) text += early;
  EXPECT_EQ(outcome(cat(text, answer)), "200 x");
  text += early;
  EXPECT_EQ(outcome(cat(text, answer)), malformed("too many 1xx informational responses"));
  EXPECT_EQ(outcome("HTTP/1.1 101 Switching Protocols\r\n\r\n"),
            malformed("it changes a protocol that was not asked to change"));
}

TEST(Http1ResponseTest, AnEndInTheMiddle) {
  EXPECT_EQ(outcome("", true), "EOF");
  for (const char* text :
       {"H", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n"}) {
    EXPECT_EQ(outcome(text, true), "unexpected EOF") << text;
  }
}

void expect_malformed(std::string_view text) {
  const std::string what = outcome(text);
  EXPECT_TRUE(what.starts_with(malformed(""))) << text << ": " << what;
}

TEST(Http1ResponseTest, Garbage) {
  for (const char* text :
       {"\x16\x03\x01\x02 what TLS says", "SSH-2.0-OpenSSH\r\n\r\n", "HTTP/2.0 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n", "HTTP/1.1 099 OK\r\n\r\n", "GET / HTTP/1.1\r\n\r\n"}) {
    expect_malformed(text);
  }
  for (const char* fields : {"A b\r\n\r\n", "A : b\r\n\r\n", "Content-Length: -1\r\n\r\n",
                             "Content-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
                             "Content-Length: 99999999999999999999\r\n\r\n",
                             "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"}) {
    expect_malformed(cat("HTTP/1.1 200 OK\r\n", fields));
  }
  for (const char* rest :
       {"gzip\r\n\r\n", "chunked, chunked\r\n\r\n", "gzip, chunked\r\n\r\n",
        "chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", "chunked\r\n\r\nxyz\r\n",
        "chunked\r\n\r\n-1\r\n", "chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n",
        "chunked\r\n\r\n11111111111111111\r\n"}) {
    expect_malformed(cat("HTTP/1.1 200 OK\r\nTransfer-Encoding: ", rest));
  }
  expect_malformed("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n");
}

// How much of an endless answer is read before it is none; what is kept of it is bounded all along.
size_t endless(std::string_view begin, const std::string& more) {
  Http1Response response(kLimit, false);
  std::string held(begin);
  for (size_t sent = 0; sent < 20 * kLimit; sent += more.size()) {
    held += more;
    std::string_view left = held;
    if (!response.take(&left).ok()) return sent;
    held.erase(0, held.size() - left.size());
    EXPECT_LE(held.size(), kLimit);
    EXPECT_EQ(response.body(), "");
  }
  return SIZE_MAX;
}

TEST(Http1ResponseTest, WhatDoesNotEnd) {
  const std::string x(100, 'x');
  const std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
  for (const std::string& begin :
       {std::string("HTTP/1.1 200 "), std::string("HTTP/1.1 200 OK\r\nA: "),
        std::string("HTTP/1.1 200 OK\r\nA"), chunked + "5;", chunked + "5;a=\"",
        chunked + "0\r\nA: "}) {
    EXPECT_LE(endless(begin, x), kLimit + 200) << begin;
  }
  EXPECT_LE(endless("HTTP/1.1 200 OK\r\n", "A: b\r\n"), kLimit + 200);
  EXPECT_LE(endless(chunked + "0\r\n", "A: b\r\n"), kLimit + 200);
  EXPECT_LE(endless("", "\r\n"), kLimit + 200);
  EXPECT_LE(endless("", "HTTP/1.1 103 \r\n\r\n"), 200u);
}

}  // namespace
}  // namespace keelson::net
