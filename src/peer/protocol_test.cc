// What other members, and those that only say that they are, can do to one: refusals on both sides,
// garbage, halves, silence, and readers that do not read.

#include <gtest/gtest.h>

#include "base/revision_key.h"
#include "base/test_log.h"
#include "base/told.h"
#include "interchange/database_writer.h"
#include "membership/member_json.h"
#include "net/memory_connection.h"
#include "peer/append_stream.h"
#include "peer/snapshot_body.h"
#include "peer/test_lone_peer.h"
#include "peer/test_messages.h"

namespace keelson::peer {
namespace {

using raft::MessageType;

constexpr std::string_view kAccepted =
    "HTTP/1.1 200 OK\r\nX-Server-Version: 3.7.1\r\nTransfer-Encoding: chunked\r\n\r\n";

std::string refusal(int code, std::string_view body) {
  return cat("HTTP/1.1 ", code, " No\r\nX-Server-Version: 3.7.1\r\nContent-Length: ", body.size(),
             "\r\n\r\n", body);
}

// Accepts connections until one asks for `path`, and leaves the others open.
net::ScriptedConnection accept_for(net::ScriptedServer& server, std::string_view path,
                                   std::vector<net::ScriptedConnection>* others) {
  while (true) {
    net::ScriptedConnection connection = server.accept();
    if (connection.head().starts_with(cat("GET ", path, " "))) return connection;
    others->push_back(std::move(connection));
  }
}

class Protocol : public LonePeer {
 protected:
  std::string message_stream() { return stream_path(StreamType::kMessage, kSelf); }
  std::vector<net::ScriptedConnection> others_;
  net::ScriptedServer other_;
};

// --- what we are told when we ask ------------------------------------------------------------

TEST_F(Protocol, AStreamThatBreaksIsOpenedAgain) {
  start({{cat("http://127.0.0.1:", other_.place().port)}});
  const std::string frame = encode_message(message(MessageType::kMsgHeartbeat)).str();
  const std::string_view endings[] = {
      std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff", 8),   // too long
      std::string_view("\0\0\0\0\0\0\0\4\x08\xff\xff\xff", 12),  // no message
      std::string_view("\0\0\0\0\0\0\0\x09half", 12),            // a half
  };
  size_t expected = 0;
  for (std::string_view ending : endings) {
    net::ScriptedConnection stream = accept_for(other_, message_stream(), &others_);
    stream.send(cat(kAccepted, chunk(frame)));
    ++expected;
    EXPECT_TRUE(eventually([&] { return receiver_.received() == expected; }));
    stream.send(chunk(ending));
    if (ending == endings[2]) stream.half_close();
    // It ends, whatever we would say.
    EXPECT_EQ(stream.read_all(), 0u);
  }
  EXPECT_EQ(receiver_.message(0).from, kOther);
}

TEST_F(Protocol, SilenceEndsAStream) {
  start({{cat("http://127.0.0.1:", other_.place().port)}});
  net::ScriptedConnection silent = accept_for(other_, message_stream(), &others_);
  silent.send(kAccepted);
  EXPECT_EQ(silent.read_all(), 0u);
  net::ScriptedConnection mute = accept_for(other_, message_stream(), &others_);
  EXPECT_EQ(mute.read_all(), 0u);  // not even a head
}

TEST_F(Protocol, MessagesThatAreNotForUsGoNoFurther) {
  start({{cat("http://127.0.0.1:", other_.place().port)}});
  net::ScriptedConnection stream = accept_for(other_, message_stream(), &others_);
  std::string frames;
  for (const raft::Message& m : {message(MessageType::kMsgHeartbeat, kOther, MemberId(77)),
                                 message(MessageType::kMsgHeartbeat, kGone, kSelf),
                                 link_heartbeat(), message(MessageType::kMsgVote)}) {
    frames += encode_message(m).view();
  }
  stream.send(cat(kAccepted, chunk(frames)));
  EXPECT_TRUE(eventually([&] { return receiver_.received() > 0; }));
  EXPECT_EQ(receiver_.received(), 1u);
  EXPECT_EQ(receiver_.message(0).type, MessageType::kMsgVote);
}

TEST_F(Protocol, WhoWasRemovedIsToldOnce) {
  start({{cat("http://127.0.0.1:", other_.place().port)}});
  for (int i = 0; i < 3; ++i) {
    accept_for(other_, message_stream(), &others_).send(refusal(410, "removed member\n"));
  }
  EXPECT_TRUE(eventually([&] { return receiver_.removed_ > 0; }));
  EXPECT_EQ(receiver_.removed_, 1);
}

TEST_F(Protocol, AnotherClusterIsTriedAtTheNextUrl) {
  net::ScriptedServer second;
  start({{cat("http://127.0.0.1:", other_.place().port),
          cat("http://127.0.0.1:", second.place().port)}});
  accept_for(other_, message_stream(), &others_).send(refusal(412, "cluster ID mismatch\n"));
  net::ScriptedConnection stream = accept_for(second, message_stream(), &others_);
  stream.send(kAccepted);
  EXPECT_TRUE(eventually([&] { return network_->active()->contains(kOther); }));
  EXPECT_EQ(receiver_.removed_, 0);
}

TEST_F(Protocol, WhoseProcessIsGoneIsToldOnce) {
  start({{"http://127.0.0.1:1"}});
  EXPECT_TRUE(eventually([&] { return receiver_.gone_ > 0; }));
  for (int i = 0; i < 200; ++i) ask("GET /version", headers());
  EXPECT_EQ(receiver_.gone_, 1);
}

TEST_F(Protocol, WhoListensElsewhereIsNotGone) {
  start({{"http://127.0.0.1:1", cat("http://127.0.0.1:", other_.place().port)}});
  net::ScriptedConnection stream = accept_for(other_, message_stream(), &others_);
  stream.send(kAccepted);
  EXPECT_TRUE(eventually([&] { return network_->active()->contains(kOther); }));
  EXPECT_EQ(receiver_.gone_, 0);
}

TEST_F(Protocol, WhatRaftDoesNotTakeIsNotRead) {
  start({{cat("http://127.0.0.1:", other_.place().port)}});
  receiver_.hold();
  net::ScriptedConnection stream = accept_for(other_, message_stream(), &others_);
  stream.send(kAccepted);
  const raft::Message small = message(MessageType::kMsgHeartbeat);
  std::string frames;
  for (int i = 0; i < 1000; ++i) frames += encode_message(small).view();
  for (int i = 0; i < 40; ++i) stream.send(chunk(frames));
  EXPECT_TRUE(eventually([&] { return receiver_.received() >= 4096; }));
  // So many turns of the loop would have brought all of it.
  for (int i = 0; i < 50; ++i) ask("GET /version", headers());
  EXPECT_LT(receiver_.received(), 20'000u);
  receiver_.let_go();
  EXPECT_TRUE(eventually([&] { return receiver_.received() == 40'000; }));
}

// --- what we answer --------------------------------------------------------------------------

TEST_F(Protocol, StreamsThatAreRefused) {
  start({{"http://127.0.0.1:1"}});
  const auto open = [&](std::string_view path, std::string_view fields) {
    return ask(cat("GET /raft/stream/", path), fields);
  };
  EXPECT_EQ(open("message/2", headers("c2")), "412 cluster ID mismatch\n");
  EXPECT_EQ(open("message/2", headers("c1", "2.9.0")), "412 incompatible version\n");
  EXPECT_EQ(open("message/2", headers("c1", "junk")), "412 incompatible version\n");
  EXPECT_EQ(open("message/9", headers()), "410 removed member\n");
  EXPECT_EQ(open("message/77", headers()), "404 error sender not found\n");
  EXPECT_EQ(open("message/1", headers()), "404 error sender not found\n");
  EXPECT_EQ(open("message/xyz", headers()), "404 invalid from\n");
  EXPECT_EQ(open("other/2", headers()), "404 invalid path\n");
  EXPECT_EQ(ask("POST /raft/stream/message/2", headers()), "405 Method Not Allowed\n");
  EXPECT_EQ(ask("GET /raft/nothing", headers()), "404 404 page not found\n");
}

// Of a cluster that speaks what the test says.
class Speaks final : public NoAnswers {
 public:
  explicit Speaks(const char* version) : version_(version) {}
  std::string cluster_version() override { return version_.load(); }
  void now(const char* version) { version_ = version; }

 private:
  std::atomic<const char*> version_;
};

class Versions : public Protocol {
 protected:
  ~Versions() override {
    listener_.reset();
    network_.reset();
  }
  // What a message is answered from a member with such a server.
  std::string post(std::string_view version) {
    return ask("POST /raft", headers("c1", version),
               wire::encode(message(MessageType::kMsgVote)).view());
  }
  // Answers the next question for its versions.
  void say(net::ScriptedServer& server, std::string_view cluster) {
    accept_for(server, "/version", &others_)
        .answer(cat("{\"etcdserver\":\"3.6.14\",\"etcdcluster\":\"", cluster, "\"}"));
  }
  static std::string url_of(const net::ScriptedServer& server) {
    return cat("http://127.0.0.1:", server.place().port);
  }
  // A question that nobody answers is over when the test is.
  static NetworkOptions patient() {
    NetworkOptions options;
    options.read_timeout = std::chrono::seconds(60);
    return options;
  }

  Speaks speaks_{"3.7.0"};
  net::ScriptedServer third_;
};

constexpr std::string_view kIncompatible = "412 incompatible version\n";

TEST_F(Versions, WhoIsOlderThanTheClusterIsRefused) {
  start({{"http://127.0.0.1:1"}}, quick(), &speaks_);
  EXPECT_EQ(post("3.6.14"), kIncompatible);
  EXPECT_EQ(post("3.5.30"), kIncompatible);
  EXPECT_EQ(ask("GET /raft/stream/message/2", headers("c1", "3.6.14")), kIncompatible);
  EXPECT_EQ(ask("GET /raft/stream/msgapp/2", headers("c1", "3.6.14")), kIncompatible);
  EXPECT_EQ(ask("POST /raft/snapshot", headers("c1", "3.6.14"), "x"), kIncompatible);
  EXPECT_EQ(receiver_.received(), 0u);
  EXPECT_EQ(post("3.7.0"), "204 ");
  EXPECT_EQ(post("3.8.0"), "204 ");
  speaks_.now("3.6.0");  // taken down
  EXPECT_EQ(post("3.6.14"), "204 ");
  EXPECT_EQ(post("3.5.30"), kIncompatible);
  speaks_.now("3.7.0");
  EXPECT_EQ(post("3.6.14"), kIncompatible);
  speaks_.now("");  // not decided
  EXPECT_EQ(post("3.5.30"), "204 ");
  EXPECT_EQ(post("2.3.8"), kIncompatible);
}

TEST_F(Versions, WhatIsSentMayBeTakenByNobodyOlder) {
  start({{url_of(other_)}}, quick(), &speaks_);
  const auto head = [&](std::string_view request) {
    while (true) {
      others_.push_back(other_.accept());
      std::string text = others_.back().head();
      if (text.starts_with(request)) return text;
    }
  };
  EXPECT_NE(head("GET /raft/stream/").find("\r\nX-Min-Cluster-Version: 3.7.0\r\n"),
            std::string::npos);
  speaks_.now("3.6.0");
  send(message(MessageType::kMsgVote, kSelf, kOther));
  EXPECT_NE(head("POST /raft ").find("\r\nX-Min-Cluster-Version: 3.6.0\r\n"), std::string::npos);
}

// The log cannot tell this member: all that could bring it are refused.
TEST_F(Versions, AQuorumThatWasTakenDownMeanwhileIsBelieved) {
  start({{url_of(other_)}, {url_of(third_)}}, patient(), &speaks_);
  EXPECT_EQ(post("3.6.14"), kIncompatible);
  say(other_, "3.6.0");
  EXPECT_EQ(post("3.6.14"), kIncompatible);  // one of three says so
  say(third_, "3.6.0");
  EXPECT_TRUE(eventually([&] { return post("3.6.14") == "204 "; }));
  EXPECT_EQ(post("3.5.30"), kIncompatible);
  // Now the log says it, and then that the cluster is newer again.
  speaks_.now("3.6.0");
  EXPECT_EQ(post("3.6.14"), "204 ");
  speaks_.now("3.7.0");
  EXPECT_EQ(post("3.6.14"), kIncompatible);
}

TEST_F(Versions, OneThatSaysSoIsNotBelieved) {
  log::TestLog log(log::Level::kInfo);
  start({{url_of(other_)}, {url_of(third_)}}, patient(), &speaks_);
  EXPECT_EQ(post("3.6.14"), kIncompatible);
  say(other_, "3.6.0");
  say(third_, "3.7.0");
  std::vector<log::TestLog::Line> lines;
  const std::string line =
      "refused a member whose server is older than the cluster's version; put back its former "
      "server";
  EXPECT_TRUE(eventually([&] {
    for (log::TestLog::Line& told : log.take(line)) lines.push_back(std::move(told));
    return !lines.empty();
  }));
  ASSERT_EQ(lines.size(), 1u);
  EXPECT_EQ(lines[0].fields.at("remote-peer-id"), "2");
  EXPECT_EQ(lines[0].fields.at("remote-peer-server-version"), "3.6.14");
  EXPECT_EQ(lines[0].fields.at("cluster-version"), "3.7.0");
  EXPECT_EQ(post("3.6.14"), kIncompatible);
  EXPECT_TRUE(log.take("the cluster was taken down to an older version while this member was away")
                  .empty());
}

// Whoever reaches the port may say what they like, as often as they like.
TEST_F(Protocol, WhatIsSaidOfRefusalsIsBounded) {
  static net::ManualClock stands;  // outlives the network, which ends after this
  NetworkOptions options = quick();
  options.clock = &stands;
  start({}, options);
  log::TestLog log(log::Level::kWarn);
  constexpr int kMany = 600;
  for (int i = 0; i < kMany; ++i) {
    ASSERT_EQ(ask("POST /raft", headers(std::string(3000, 'c')), "x"), "412 cluster ID mismatch\n");
  }
  const auto lines = log.take("request cluster ID mismatch");
  EXPECT_GT(lines.size(), 0u);
  EXPECT_LT(lines.size(), static_cast<size_t>(kMany));
  for (const log::TestLog::Line& line : lines) {
    EXPECT_LE(line.fields.at("remote-peer-cluster-id").size(), kMostTold);
    EXPECT_LE(line.fields.at("error").size(), kMostTold);
  }
}

// Who is not known is known from then on, by their own word, until others have come.
TEST_F(Protocol, WhatIsSaidOfIntroductionsIsBounded) {
  static net::ManualClock stands;  // outlives the network, which ends after this
  NetworkOptions options = quick();
  options.clock = &stands;
  start({}, options);
  log::TestLog log(log::Level::kInfo);
  constexpr uint64_t kMany = 900;
  for (uint64_t i = 0; i < kMany; ++i) {
    const MemberId stranger(0x100 + i);
    const std::string introduction =
        cat(headers("c1", "3.7.1", id_text(stranger.value)), "X-PeerURLs: http://127.0.0.1:1\r\n");
    ask("POST /raft", introduction, wire::encode(message(MessageType::kMsgVote, stranger)).view());
  }
  EXPECT_EQ(receiver_.received(), size_t{kMany});
  size_t said = 0;
  for (const char* line : {"added new remote peer", "started HTTP pipelining with remote peer",
                           "stopped HTTP pipelining with remote peer"}) {
    const size_t times = log.take(line).size();
    EXPECT_GT(times, 0u) << line;
    said += times;
  }
  // There would be three for nearly each.
  EXPECT_LT(said, 2 * kMany);
}

TEST_F(Protocol, MessagesByPost) {
  start({{"http://127.0.0.1:1"}});
  const auto post = [&](const raft::Message& m) {
    return ask("POST /raft", headers(), wire::encode(m).view());
  };
  EXPECT_EQ(post(message(MessageType::kMsgVote)), "204 ");
  EXPECT_EQ(receiver_.received(), 1u);
  EXPECT_EQ(post(message(MessageType::kMsgVote, kGone)),
            "403 {\"message\":\"cannot process message from removed member\"}");
  EXPECT_EQ(post(message(MessageType::kMsgVote, kOther, MemberId(5))),
            "403 {\"message\":\"cannot process message to mismatch member\"}");
  EXPECT_EQ(ask("POST /raft", headers(), "\x08\xff"), "400 error unmarshalling raft message\n");
  EXPECT_EQ(ask("POST /raft", headers("c2"), "x"), "412 cluster ID mismatch\n");
  EXPECT_EQ(ask("GET /raft", headers()), "405 Method Not Allowed\n");
  EXPECT_EQ(post(message(MessageType::kMsgSnap)), "500 error processing raft message\n");
  EXPECT_EQ(receiver_.received(), 1u);
}

TEST_F(Protocol, WhoIntroducesItselfIsAnswered) {
  start({});
  ask("POST /raft",
      cat(headers("c1", "3.7.1", "5"), "X-PeerURLs: http://127.0.0.1:", other_.place().port,
          "\r\n"),
      wire::encode(message(MessageType::kMsgVote, MemberId(5))).view());
  send(message(MessageType::kMsgVoteResp, kSelf, MemberId(5)));
  net::ScriptedConnection posted = other_.accept();
  EXPECT_TRUE(posted.head().starts_with("POST /raft HTTP/1.1\r\n"));
}

// Opens a stream as member `from` does.
net::ScriptedConnection open_stream(net::ScriptedConnection connection, std::string_view kind,
                                    std::string_view headers) {
  connection.send(cat("GET /raft/stream/", kind, " HTTP/1.1\r\n", headers, "\r\n"));
  EXPECT_TRUE(connection.head().starts_with("HTTP/1.1 200 OK\r\n"));
  return connection;
}

TEST_F(Protocol, AReaderThatDoesNotReadHoldsUpNobody) {
  start({{"http://127.0.0.1:1"}, {"http://127.0.0.1:1"}});
  net::ScriptedConnection slow = open_stream(connect(), "msgapp/2", headers());
  net::ScriptedConnection good = open_stream(connect(), "msgapp/3", headers("c1", "3.7.1", "3"));
  raft::Message app = message(MessageType::kMsgApp, kSelf, kOther);
  app.entries = {test_entry(1, 1, std::string(1 << 20, 'x'))};
  raft::Message small = message(MessageType::kMsgApp, kSelf, MemberId(3));
  small.entries = {test_entry(1, 1, "y")};
  // Far more than may wait, without an end of it.
  for (int i = 0; i < 200; ++i) {
    send(app);
    send(small);
  }
  EXPECT_TRUE(eventually([&] { return receiver_.unreachable_ > 0; }));
  EXPECT_EQ(good.skip(200 * 10), 200u * 10);
  // After the time that it has it is given up, and hears no more than was on its way.
  EXPECT_TRUE(eventually([&] { return listener_->connections() == 1; }));
  EXPECT_LT(slow.read_all(), 100u << 20);
  EXPECT_EQ(network_->handed_over(), 0u);
}

TEST_F(Protocol, AnIdleStreamCarriesHeartbeats) {
  start({{"http://127.0.0.1:1"}});
  net::ScriptedConnection stream = open_stream(connect(), "message/2", headers());
  const std::string heartbeat = chunk(encode_message(link_heartbeat()).view());
  EXPECT_EQ(stream.read_until(heartbeat), heartbeat);
  EXPECT_EQ(stream.read_until(heartbeat), heartbeat);
}

TEST_F(Protocol, ASecondStreamTakesThePlaceOfTheFirst) {
  start({{"http://127.0.0.1:1"}});
  net::ScriptedConnection first = open_stream(connect(), "message/2", headers());
  net::ScriptedConnection second = open_stream(connect(), "message/2", headers());
  first.read_until("0\r\n\r\n");
  send(message(MessageType::kMsgVote, kSelf, kOther));
  const std::string frame = encode_message(message(MessageType::kMsgVote, kSelf, kOther)).str();
  EXPECT_TRUE(second.read_until(frame).ends_with(frame));
}

// --- snapshots -------------------------------------------------------------------------------

std::string snapshot_head(MemberId to = kSelf) {
  auto snapshot = std::make_shared<raft::Snapshot>();
  snapshot->metadata = {
      .conf_state = {.voters = {kSelf, kOther}}, .index = Index(7), .term = Term(1)};
  raft::Message m{.type = MessageType::kMsgSnap, .to = to, .from = kOther, .term = Term(1)};
  m.snapshot = std::move(snapshot);
  return encode_snapshot_head(m).str();
}

TEST_F(Protocol, SnapshotsThatAreNone) {
  start({{"http://127.0.0.1:1"}});
  const auto post = [&](std::string_view body) {
    return ask("POST /raft/snapshot", headers(), body);
  };
  const std::string junk(100'000, 'j');
  EXPECT_TRUE(post("garbage that is no frame").starts_with("400 failed to decode raft message ("));
  EXPECT_TRUE(post(snapshot_head()).starts_with("400 failed to save KV snapshot ("));
  EXPECT_TRUE(post(cat(snapshot_head(), junk)).starts_with("500 failed to save KV snapshot ("));
  EXPECT_EQ(post(cat(snapshot_head(MemberId(5)), junk)),
            "403 {\"message\":\"cannot process message to mismatch member\"}");
  EXPECT_EQ(post(encode_message(message(MessageType::kMsgVote)).view()),
            "400 wrong raft message type\n");
  EXPECT_EQ(ask("POST /raft/snapshot", headers("c2"), "x"), "412 cluster ID mismatch\n");
  // One that breaks off.
  net::ScriptedConnection broken = connect();
  broken.send(cat("POST /raft/snapshot HTTP/1.1\r\n", headers(), "Content-Length: 1000000\r\n\r\n",
                  snapshot_head(), std::string(600'000, 'x')));
  EXPECT_TRUE(eventually([&] { return !home_.empty(); }));
  broken.close();
  EXPECT_TRUE(eventually([&] { return home_.empty(); }));
  EXPECT_EQ(home_.installed_, 0);
}

class StringSink final : public boltfile::Sink {
 public:
  absl::Status write(std::string_view bytes) override {
    text.append(bytes);
    return absl::OkStatus();
  }
  std::string text;
};

// The database of a cluster of kSelf and kOther.
std::string database() {
  backend::MemoryBackend state;
  backend::WriteBatch batch;
  for (MemberId id : {kSelf, kOther}) {
    const membership::Member member{.id = id, .peer_urls = {cat("http://10.0.0.", id.value)}};
    batch.put(backend::Bucket::kMembers, id_text(id.value), membership::member_json(member));
  }
  EXPECT_TRUE(state.commit(batch, Index(7), Term(1)).ok());
  interchange::DatabaseWriter writer(state.snapshot());
  StringSink sink;
  for (absl::StatusOr<bool> done = false; !*done;) {
    done = writer.plan_step(UINT64_MAX);
    if (!done.ok()) break;
  }
  for (absl::StatusOr<bool> done = false; !*done;) {
    done = writer.write_step(UINT64_MAX, sink);
    if (!done.ok()) break;
  }
  return sink.text;
}

// A mark in the log is for good, so it is asked first whether the member can go on with what came.
TEST_F(Protocol, AStateThatTheMemberCannotGoOnWithIsRefused) {
  start({{"http://127.0.0.1:1"}});
  const std::string body = cat(snapshot_head(), database());
  home_.refused_ = absl::DataLossError("it goes back");
  EXPECT_EQ(ask("POST /raft/snapshot", headers(), body),
            "500 failed to save KV snapshot (it goes back)\n");
  EXPECT_EQ(home_.installed_, 0);
  EXPECT_TRUE(eventually([&] { return home_.empty(); }));
  home_.refused_ = absl::OkStatus();
  EXPECT_EQ(ask("POST /raft/snapshot", headers(), body), "204 ");
  EXPECT_EQ(home_.installed_, 1);
}

// The POST of a snapshot, as far as its head.
net::ScriptedConnection accept_snapshot(net::ScriptedServer& server,
                                        std::vector<net::ScriptedConnection>* others) {
  while (true) {
    net::ScriptedConnection connection = server.accept();
    if (connection.head().starts_with("POST /raft/snapshot ")) return connection;
    others->push_back(std::move(connection));
  }
}

raft::Message snapshot_for(MemberId to) {
  raft::Message m{.type = MessageType::kMsgSnap, .to = to, .from = kSelf, .term = Term(1)};
  auto snapshot = std::make_shared<raft::Snapshot>();
  snapshot->metadata = {
      .conf_state = {.voters = {kSelf, kOther}}, .index = Index(7), .term = Term(1)};
  m.snapshot = std::move(snapshot);
  return m;
}

// Whoever says so cannot have it, and its answer finds the next piece on its way.
TEST_F(Protocol, ASnapshotThatIsAnsweredTooEarlyHasFailed) {
  start({{cat("http://127.0.0.1:", other_.place().port)}});
  backend::MemoryBackend backend;
  backend::WriteBatch batch;
  batch.put(backend::Bucket::kKey, RevisionKey({2, 0}).view(), std::string(64 << 20, 'x'));
  ASSERT_TRUE(backend.commit(batch, Index(7), Term(1)).ok());
  for (const std::string_view answer : {"204 No Content", "200 OK", "400 Bad Request"}) {
    const int before = receiver_.failed_;
    network_->send_snapshot(snapshot_for(kOther), backend.snapshot());
    accept_snapshot(other_, &others_)
        .send(cat("HTTP/1.1 ", answer, "\r\nContent-Length: 0\r\n\r\n"));
    EXPECT_TRUE(eventually([&] { return receiver_.failed_ > before; })) << answer;
  }
  EXPECT_EQ(receiver_.arrived_, 0);
}

// What is kept back so that the next one does not come at once.
TEST_F(Protocol, AFailureThatIsNotToldYetIsToldAtTheEnd) {
  start({{"http://127.0.0.1:1"}});
  backend::MemoryBackend backend;
  network_->send_snapshot(snapshot_for(kOther), backend.snapshot());
  EXPECT_TRUE(eventually([&] { return receiver_.failed_ == 1; }));
  const int before = receiver_.unreachable_;
  network_->send_snapshot(snapshot_for(kOther), backend.snapshot());
  EXPECT_TRUE(eventually([&] { return receiver_.unreachable_ > before; }));
  network_->stop();
  EXPECT_EQ(receiver_.failed_, 2);
}

TEST_F(Protocol, ASnapshotThatCannotBeSentHasFailed) {
  start({{"http://127.0.0.1:1"}, {cat("http://127.0.0.1:", other_.place().port)}});
  backend::MemoryBackend backend;
  raft::Message m = snapshot_for(kOther);
  network_->send_snapshot(m, backend.snapshot());
  EXPECT_TRUE(eventually([&] { return receiver_.failed_ == 1; }));
  m.to = MemberId(77);  // nobody
  network_->send_snapshot(m, backend.snapshot());
  EXPECT_TRUE(eventually([&] { return receiver_.failed_ == 2; }));
  // With one under way the next fails; and so does that one, when the network stops.
  m.to = MemberId(3);
  network_->send_snapshot(m, backend.snapshot());
  network_->send_snapshot(m, backend.snapshot());
  EXPECT_TRUE(eventually([&] { return receiver_.failed_ == 3; }));
  network_->stop();
  EXPECT_EQ(receiver_.failed_, 4);
  EXPECT_EQ(receiver_.arrived_, 0);
}

}  // namespace
}  // namespace keelson::peer
