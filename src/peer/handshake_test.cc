// Who is refused with which code and text: etcd v3.7.1's answers, case by case.

#include "peer/handshake.h"

#include <gtest/gtest.h>

#include "base/text.h"

namespace keelson::peer {
namespace {

const LocalMember kLocal{.id = MemberId(0x2b), .cluster = ClusterId(0xc1), .version = "3.7.1"};

PeerHeaders headers_of(std::string_view version, std::string_view least = "3.0.0") {
  return {.server_from = "1a",
          .server_version = version,
          .min_cluster_version = least,
          .cluster_id = "c1",
          .raft_to = "2b"};
}

Standing standing(MemberId id) {
  if (id == MemberId(0x1a)) return Standing::kMember;
  return id == MemberId(0xdead) ? Standing::kRemoved : Standing::kUnknown;
}

std::string answer_of(const std::optional<Refusal>& refusal) {
  return refusal ? cat(refusal->answer.code, " ", refusal->answer.body) : "accepted";
}
std::string compatible(const PeerHeaders& headers) {
  return answer_of(check_compatibility(headers, kLocal));
}

TEST(Headers, Ids) {
  EXPECT_EQ(id_text(0), "0");
  EXPECT_EQ(id_text(0x8e9e05c52164694d), "8e9e05c52164694d");
  EXPECT_EQ(parse_id("8e9e05c52164694d"), 0x8e9e05c52164694d);
  EXPECT_EQ(parse_id("00A"), 10u);
  EXPECT_EQ(parse_id("ffffffffffffffff"), ~uint64_t{0});
  for (std::string_view bad : {"", "-1", "+1", "0x1", "1 ", "g", "10000000000000000"}) {
    EXPECT_FALSE(parse_id(bad)) << bad;
  }
}

TEST(Headers, WhatARequestCarries) {
  EXPECT_EQ(stream_path(StreamType::kMessage, kLocal.id), "/raft/stream/message/2b");
  EXPECT_EQ(stream_path(StreamType::kAppend, kLocal.id), "/raft/stream/msgapp/2b");
  const HeaderList stream =
      request_headers(kLocal, {"http://a:2380", "http://b:2380"}, MemberId(0x1a));
  EXPECT_EQ(stream, (HeaderList{{"X-Server-From", "2b"},
                                {"X-Server-Version", "3.7.1"},
                                {"X-Min-Cluster-Version", "3.0.0"},
                                {"X-Etcd-Cluster-ID", "c1"},
                                {"X-Raft-To", "1a"},
                                {"X-PeerURLs", "http://a:2380,http://b:2380"}}));
  EXPECT_EQ(request_headers(kLocal, {}, std::nullopt).size(), 4u);

  PeerHeaders read;
  for (const auto& [name, value] : stream) take_header(name, value, &read);
  take_header("x-server-VERSION", "9.9.9", &read);
  EXPECT_EQ(read.server_version, "3.7.1");
  EXPECT_EQ(read.raft_to, "1a");
  const auto introduced = introduced_by(read);
  ASSERT_TRUE(introduced);
  EXPECT_EQ(introduced->id, kLocal.id);
  EXPECT_EQ(introduced->urls, (std::vector<std::string>{"http://a:2380", "http://b:2380"}));
  read.server_from = "nobody";
  EXPECT_FALSE(introduced_by(read));
}

TEST(Compatibility, VersionsByMajorAndMinor) {
  for (std::string_view fine : {"3.0.0", "3.5.21", "3.7.1", "3.7.0-rc.0", "3.8.0+x", "4.0.0"}) {
    EXPECT_EQ(compatible(headers_of(fine)), "accepted") << fine;
  }
  EXPECT_EQ(compatible(headers_of("3.9.0", "3.7.9")), "accepted");
  EXPECT_EQ(compatible(headers_of("2.3.8")), "412 incompatible version\n");
  EXPECT_EQ(compatible(headers_of("3.9.0", "3.8.0")), "412 incompatible version\n");
  EXPECT_EQ(check_compatibility(headers_of("2.3.8"), kLocal)->reason,
            "remote version is too low: remote[1a]=2.3.8, local=3.7.1");
  EXPECT_EQ(check_compatibility(headers_of("3.9.0", "3.8.0"), kLocal)->reason,
            "local version is too low: remote[1a]=3.9.0, local=3.7.1");
  // None at all is 2.0.0; what is no version is refused.
  EXPECT_EQ(check_compatibility(headers_of(""), kLocal)->reason,
            "remote version is too low: remote[1a]=2.0.0, local=3.7.1");
  for (std::string_view bad :
       {"3", "3.7", "3.7.", "x", "3.7.1x", "-3.7.1", "99999999999999999999.1.1"}) {
    EXPECT_EQ(compatible(headers_of(bad)), "412 incompatible version\n") << bad;
    EXPECT_EQ(compatible(headers_of("3.7.1", bad)), "412 incompatible version\n") << bad;
  }
}

TEST(Compatibility, NobodyOlderThanTheCluster) {
  const struct {
    std::string_view cluster;  // our least
    std::string_view remote;
    bool fine;
  } cases[] = {
      {"3.7.0", "3.7.0", true},      {"3.7.0", "3.7.1", true},   {"3.7.0", "3.8.2", true},
      {"3.7.0", "3.7.0-rc.0", true}, {"3.7.0", "3.6.14", false}, {"3.7.0", "3.5.30", false},
      {"3.7.0", "3.6.0+git", false}, {"3.7.0", "", false},       {"3.6.0", "3.6.14", true},
      {"3.6.0", "3.5.30", false},    {"3.5.0", "3.5.0", true},   {"3.5.0", "3.4.9", false},
      {"3.0.0", "3.0.1", true},
  };
  for (const auto& c : cases) {
    LocalMember local = kLocal;
    local.min_cluster_version = c.cluster;
    EXPECT_EQ(answer_of(check_compatibility(headers_of(c.remote), local)),
              c.fine ? "accepted" : "412 incompatible version\n")
        << c.remote << " among " << c.cluster;
  }
}

TEST(Compatibility, TheClusterIsTheSame) {
  for (std::string_view other : {"", "c2", "C1", "0c1"}) {
    PeerHeaders headers = headers_of("3.7.1");
    headers.cluster_id = other;
    EXPECT_EQ(compatible(headers), "412 cluster ID mismatch\n") << other;
    // The version is looked at first.
    headers.server_version = "2.0.0";
    EXPECT_EQ(compatible(headers), "412 incompatible version\n");
  }
}

std::string stream(std::string_view method, std::string_view path,
                   const PeerHeaders& headers = headers_of("3.7.1")) {
  const StreamVerdict verdict =
      judge_stream({.method = method, .path = path, .headers = headers}, kLocal, &standing);
  if (!verdict.accepted) return answer_of(verdict.refusal);
  return cat(verdict.accepted->type == StreamType::kAppend ? "append " : "message ",
             id_text(verdict.accepted->from.value));
}

TEST(Stream, AcceptedOrRefused) {
  EXPECT_EQ(stream("GET", "/raft/stream/message/1a"), "message 1a");
  EXPECT_EQ(stream("GET", "/raft/stream/msgapp/1a"), "append 1a");
  EXPECT_EQ(stream("POST", "/raft/stream/msgapp/1a"), "405 Method Not Allowed\n");
  for (std::string_view path : {"/raft/stream/msgappv2/1a", "/raft/stream/1a", "/raft/stream/",
                                "/raft/stream/message", "/raft/stream/message/1a/", "/x"}) {
    EXPECT_EQ(stream("GET", path), "404 invalid path\n") << path;
  }
  EXPECT_EQ(stream("GET", "/raft/stream/message/xyz"), "404 invalid from\n");
  EXPECT_EQ(stream("GET", "/raft/stream/message/"), "404 invalid from\n");
  EXPECT_EQ(stream("GET", "/raft/stream/message/dead"), "410 removed member\n");
  EXPECT_EQ(stream("GET", "/raft/stream/message/77"), "404 error sender not found\n");
  PeerHeaders other = headers_of("3.7.1");
  other.raft_to = "2c";
  EXPECT_EQ(stream("GET", "/raft/stream/message/1a", other), "412 to field mismatch\n");
  other.cluster_id = "c2";
  EXPECT_EQ(stream("GET", "/raft/stream/message/dead", other), "412 cluster ID mismatch\n");
}

TEST(Stream, AnUnknownSenderIntroducesItself) {
  PeerHeaders headers = headers_of("3.7.1");
  headers.peer_urls = "http://x:1,http://y:2";
  const auto ask = [&](std::string_view path) {
    return judge_stream({.method = "GET", .path = path, .headers = headers}, kLocal, &standing)
        .introduced;
  };
  ASSERT_TRUE(ask("/raft/stream/message/77"));
  EXPECT_EQ(ask("/raft/stream/message/77")->id, MemberId(0x77));
  EXPECT_EQ(ask("/raft/stream/message/77")->urls.size(), 2u);
  EXPECT_FALSE(ask("/raft/stream/message/dead"));
  headers.peer_urls = "";
  EXPECT_FALSE(ask("/raft/stream/message/77"));
}

TEST(Post, AcceptedOrRefused) {
  EXPECT_EQ(answer_of(judge_post("POST", headers_of("3.5.0"), kLocal)), "accepted");
  EXPECT_EQ(answer_of(judge_post("GET", headers_of("3.5.0"), kLocal)), "405 Method Not Allowed\n");
  EXPECT_EQ(judge_post("GET", headers_of("3.5.0"), kLocal)->answer.allow, "POST");
  EXPECT_EQ(answer_of(judge_post("POST", headers_of("2.3.0"), kLocal)),
            "412 incompatible version\n");

  const auto message = [](uint64_t from, uint64_t to) {
    const raft::Message m{.to = MemberId(to), .from = MemberId(from)};
    return answer_of(judge_message(m, kLocal.id, &standing));
  };
  EXPECT_EQ(message(0x1a, 0x2b), "accepted");
  EXPECT_EQ(message(0x77, 0x2b), "accepted");
  EXPECT_EQ(message(0xdead, 0x2b),
            "403 {\"message\":\"cannot process message from removed member\"}");
  EXPECT_EQ(message(0x1a, 0x2c), "403 {\"message\":\"cannot process message to mismatch member\"}");
}

TEST(Answers, OfAStream) {
  const auto judge = [](PeerAnswer answer) {
    return judge_stream_answer(answer, kLocal, MemberId(0x1a));
  };
  EXPECT_EQ(judge({200, "", "3.5.0"}).outcome, Outcome::kAccepted);
  EXPECT_EQ(judge({200, "", "2.1.0"}).outcome, Outcome::kAccepted);
  EXPECT_EQ(judge({200, "", "9.0.0"}).outcome, Outcome::kAccepted);
  for (std::string_view old : {"", "2.0.5", "2.4.0", "x"}) {
    EXPECT_EQ(judge({200, "", old}).outcome, Outcome::kUnsupportedStream) << old;
  }
  EXPECT_EQ(judge({410, "removed member\n", "3.7.1"}).outcome, Outcome::kMemberRemoved);
  EXPECT_EQ(judge({410, "", "3.7.1"}).text,
            "the member has been permanently removed from the cluster");
  EXPECT_EQ(judge({404, "", "3.7.1"}).text, "peer 1a failed to find local node 2b");
  EXPECT_EQ(judge({412, "incompatible version\n", "3.7.1"}).outcome, Outcome::kIncompatibleVersion);
  EXPECT_EQ(judge({412, "cluster ID mismatch\n", "3.7.1"}).outcome, Outcome::kClusterMismatch);
  EXPECT_EQ(judge({412, "to field mismatch\n", "3.7.1"}).text,
            "unhandled error \"to field mismatch\" when precondition failed");
  EXPECT_EQ(judge({500, "", "3.7.1"}).text, "unhandled http status 500");
}

TEST(Answers, OfAPost) {
  const auto judge = [](int code, std::string_view body) {
    return judge_post_answer({.code = code, .body = body}, "http://a:2380/raft");
  };
  EXPECT_EQ(judge(204, "").outcome, Outcome::kAccepted);
  EXPECT_EQ(judge(200, "").text,
            "unexpected http status OK while posting to \"http://a:2380/raft\"");
  EXPECT_EQ(judge(412, "cluster ID mismatch\n").outcome, Outcome::kClusterMismatch);
  const Answer removed = json_answer(403, "cannot process message from removed member");
  EXPECT_EQ(judge(403, removed.body).outcome, Outcome::kMemberRemoved);
  // Somebody else answers there: no reason to stop.
  const Answer mismatch = json_answer(403, "cannot process message to mismatch member");
  EXPECT_EQ(judge(403, mismatch.body).outcome, Outcome::kRefused);
}

}  // namespace
}  // namespace keelson::peer
