// swap_states_test: whatever state etcd was in when it was stopped or killed, Keelson goes on with
// it in place, and etcd with what is exported again: keys, history, hashes, leases, users, roles,
// alarms and members are the same all the way.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>

#include "base/test_etcd.h"
#include "base/text.h"
#include "boltfile/etcd_state.h"
#include "proto/rpc.pb.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/server.h"
#include "tests/swap/told.h"

namespace keelson {
namespace {

using harness::eventually;
using harness::Server;
using swap::Ctl;
using swap::ctl_of;
using swap::told_by;
using testing::AllOf;
using testing::HasSubstr;
namespace fs = std::filesystem;
namespace pb = etcdserverpb;

std::string binary, keelutl;  // NOLINT: from the command line

using Flags = std::vector<std::string>;

// One state, and what is tried with it besides the comparison.
struct State {
  std::string name;
  std::function<void(TestEtcd&)> make;
  Flags etcd_flags = {};
  Flags own_flags = {};
  std::string user = {};  // whom to ask as, once it is made
  bool killed = true;     // else stopped in order
  bool log_elsewhere = false;
  // Of the directory, when etcd has gone.
  std::function<void(const std::string& data, const std::string& wal)> before = nullptr;
  // Of Keelson on it, behind the comparison, before it goes back.
  std::function<void(const Ctl&)> after = nullptr;
};

void ok(const TestEtcd& etcd, const std::string& arguments) {
  const std::string said = ctl_of(etcd)(arguments);
  ASSERT_EQ(said.find("rror"), std::string::npos) << arguments << ": " << said;
}

void some_history(TestEtcd& etcd) {
  for (int i = 0; i < 30; ++i) ok(etcd, cat("put k", i % 7, " v", i));
  ok(etcd, "del k3");
  ok(etcd, "put 'odd\x01\xfe key' ''");
}

std::string grant(TestEtcd& etcd, int seconds) {
  return ctl_of(etcd)(cat("lease grant ", seconds)).substr(6, 16);
}

void call(harness::Client& client, const char* path, const google::protobuf::Message& request) {
  const harness::Reply reply = client.unary(path, request.SerializeAsString());
  ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
}

// The end of some_history(), at a member that may not be asked for more.
void expect_learned(const Ctl& ctl) {
  ASSERT_TRUE(eventually(
      [&] { return ctl("get odd --prefix --keys-only --consistency=s").starts_with("odd"); }));
}

// 128 keys, each with a new version.
void put_generation(harness::Client& client, int generation) {
  pb::TxnRequest txn;
  for (int i = 0; i < 128; ++i) {
    pb::PutRequest* put = txn.add_success()->mutable_request_put();
    put->set_key(cat("key", i));
    put->set_value(cat("value ", generation));
  }
  call(client, "/etcdserverpb.KV/Txn", txn);
}

// Keys of every byte, of any length, empty values and large ones, a deep history, a tombstone at
// the mark of a compaction, one behind it, a key that came back.
State odd_ones() {
  return {.name = "OddOnes",
          .make =
              [](TestEtcd& etcd) {
                harness::Client client(etcd.address());
                pb::PutRequest put;
                const auto put_one = [&](std::string key, std::string value) {
                  put.set_key(std::move(key));
                  put.set_value(std::move(value));
                  call(client, "/etcdserverpb.KV/Put", put);
                };
                for (int byte = 0; byte < 256; ++byte) {
                  put_one(std::string(1, static_cast<char>(byte)), "");
                  put_one(cat("k", std::string(3, static_cast<char>(byte))), cat("v", byte));
                }
                put_one(std::string(30000, 'k'), "a long key");
                put_one("large", std::string(1'400'000, '\0'));
                for (int i = 0; i < 1500; ++i) put_one("deep", cat(i));
                for (const char* key : {"buried", "returned", "dead"}) put_one(key, "alive");
                ok(etcd, "del returned");
                put_one("returned", "alive again");
                ok(etcd, "del buried");
                const std::string revision =
                    ctl_of(etcd)("get x -w json | sed 's/.*revision\":\\([0-9]*\\).*/\\1/'");
                ok(etcd, "compaction --physical " + revision);
                ok(etcd, "del dead");
              },
          .after =
              [](const Ctl& ctl) {
                EXPECT_EQ(ctl("get deep --print-value-only"), "1499\n");
                EXPECT_EQ(ctl("get buried"), "");
                EXPECT_THAT(ctl("get large --print-value-only | wc -c"), HasSubstr("1400001"));
              }};
}

State plain() { return {.name = "Plain", .make = some_history, .killed = false}; }

State leases() {
  return {.name = "Leases",
          .make =
              [](TestEtcd& etcd) {
                some_history(etcd);
                for (int seconds : {5000, 60000, 9000000}) {
                  const std::string id = grant(etcd, seconds);
                  for (int i = 0; i < 3; ++i) ok(etcd, cat("put l", seconds, i, " v --lease=", id));
                }
                grant(etcd, 777);  // without a key
                ok(etcd, cat("lease revoke ", grant(etcd, 888)));
                const std::string moved = grant(etcd, 999);
                ok(etcd, cat("put l50000 taken --lease=", moved));
              },
          .after =
              [](const Ctl& ctl) {
                const std::string id = ctl("lease list | tail -1").substr(0, 16);
                EXPECT_THAT(ctl("lease keep-alive --once " + id), HasSubstr("keepalived with TTL"));
                EXPECT_THAT(ctl("lease revoke " + id), HasSubstr("revoked"));
              }};
}

State users() {
  return {.name = "Users",
          .make =
              [](TestEtcd& etcd) {
                some_history(etcd);
                for (const char* step :
                     {"user add root:secret", "role add root", "user grant-role root root",
                      "user add reader:word", "role add reading",
                      "role grant-permission reading read k0 k5",
                      "role grant-permission --prefix reading readwrite own/",
                      "role grant-permission --from-key reading write zz",
                      "user grant-role reader reading", "user add nobody --no-password",
                      "role add unused", "auth enable"}) {
                  ok(etcd, step);
                }
              },
          .user = "root:secret",
          .after =
              [](const Ctl& ctl) {
                EXPECT_THAT(ctl("--user=reader:word get k1"), HasSubstr("v"));
                EXPECT_THAT(ctl("--user=reader:word put k1 v"), HasSubstr("permission denied"));
                EXPECT_THAT(ctl("--user=reader:wrong get k1"), HasSubstr("authentication failed"));
                EXPECT_EQ(ctl("--user=reader:word put own/a v"), "OK\n");
              }};
}

State no_space() {
  return {.name = "NoSpace",
          .make =
              [](TestEtcd& etcd) {
                for (int i = 0; i < 200; ++i) {
                  const std::string said = output_of(cat(
                      "head -c 80000 /dev/urandom | base64 -w0 | ETCDCTL_API=3 ", etcd_directory(),
                      "/etcdctl --endpoints=", etcd.address(), " put big", i));
                  if (said.find("database space exceeded") != std::string::npos) return;
                }
                FAIL() << "there is space";
              },
          .etcd_flags = {"--quota-backend-bytes=4194304"},
          .own_flags = {"--quota-backend-bytes=4194304"},
          .after =
              [](const Ctl& ctl) {
                EXPECT_THAT(ctl("alarm list"), HasSubstr("NOSPACE"));
                EXPECT_THAT(ctl("put more v"), HasSubstr("database space exceeded"));
              }};
}

// etcd says that the compaction is done when it has been noted; the removal takes a while. Killed
// meanwhile, it goes on with it at the next start, and so do we.
State compaction_under_way() {
  return {.name = "CompactionUnderWay",
          .make =
              [](TestEtcd& etcd) {
                harness::Client client(etcd.address());
                for (int i = 0; i < 200; ++i) put_generation(client, i);
                ok(etcd, "compaction 190");
                put_generation(client, 200);
              },
          .etcd_flags = {"--experimental-compaction-batch-limit=5"},
          .before =
              [](const std::string& data, const std::string&) {
                auto file = boltfile::File::open(data + "/member/snap/db");
                ASSERT_TRUE(file.ok()) << file.status();
                absl::StatusOr<boltfile::EtcdMeta> meta = boltfile::read_etcd_meta(**file);
                ASSERT_TRUE(meta.ok()) << meta.status();
                EXPECT_EQ(meta->scheduled_compaction, 190);
                EXPECT_FALSE(meta->compaction_complete());
              },
          .after =
              [](const Ctl& ctl) {
                EXPECT_THAT(ctl("get key0 --rev=189"),
                            HasSubstr("required revision has been compacted"));
                EXPECT_EQ(ctl("get key0 --rev=190 --print-value-only"), "value 188\n");
              }};
}

State log_of_several_segments() {
  return {.name = "LogOfSeveralSegments",
          .make =
              [](TestEtcd& etcd) {
                harness::Client client(etcd.address());
                pb::PutRequest put;
                for (int i = 0; i < 150; ++i) {
                  put.set_key(cat("large", i % 10));
                  put.set_value(std::string(size_t{1} << 20, static_cast<char>('a' + i % 26)));
                  call(client, "/etcdserverpb.KV/Put", put);
                }
              },
          .log_elsewhere = true,
          .before =
              [](const std::string&, const std::string& wal) {
                size_t segments = 0;
                for (const auto& file : fs::directory_iterator(wal)) {
                  segments += file.path().extension() == ".wal";
                }
                EXPECT_GE(segments, 3u);
              }};
}

// etcd's database is behind its log by what it commits together, and a snapshot lies in between.
State snapshot_within_the_log() {
  return {.name = "SnapshotWithinTheLog",
          .make =
              [](TestEtcd& etcd) {
                for (int i = 0; i < 120; ++i) ok(etcd, cat("put k", i % 7, " v", i));
                const std::string id = grant(etcd, 4000);
                ok(etcd, cat("put leased v --lease=", id));
              },
          .etcd_flags = {"--snapshot-count=50", "--backend-batch-interval=60s",
                         "--backend-batch-limit=1000000"}};
}

// Of the second API, which has been gone since 3.6, and its keys with it: those who still had some
// have the others.
State requests_of_version_2() {
  return {.name = "RequestsOfVersion2",
          .make =
              [](TestEtcd& etcd) {
                some_history(etcd);
                for (const char* step : {"set foo bar", "rm foo", "set dir/of/it v"}) {
                  output_of(cat("ETCDCTL_API=2 ", etcd_directory(), "/etcdctl --endpoints=http://",
                                etcd.address(), " ", step));
                }
                ASSERT_EQ(output_of(cat("ETCDCTL_API=2 ", etcd_directory(),
                                        "/etcdctl --endpoints=http://", etcd.address(),
                                        " get dir/of/it")),
                          "v\n");
                ok(etcd, "put behind them");
              },
          .etcd_flags = {"--enable-v2", "--snapshot-count=20"},
          .killed = false};
}

class Swap : public testing::Test {
 protected:
  void SetUp() override {
    if (!there_is_etcd()) GTEST_SKIP() << "no etcd in " << etcd_directory();
    dir_ = cat(testing::TempDir(), "keelson_swap_states_", ::getpid());
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override {
    if (!dir_.empty()) fs::remove_all(dir_);
  }
  std::string path(const std::string& name) const { return cat(dir_, "/", name); }

  std::string dir_;
};

class States : public Swap, public testing::WithParamInterface<State> {};

TEST_P(States, GoThereAndBack) {
  const State& state = GetParam();
  const std::string data = path("data"), wal = state.log_elsewhere ? path("log") : "";
  const Flags wal_flag = state.log_elsewhere ? Flags{"--wal-dir=" + wal} : Flags{};
  std::string told;
  {
    Flags flags = state.etcd_flags;
    flags.insert(flags.end(), wal_flag.begin(), wal_flag.end());
    TestEtcd etcd(data, TestEtcdPlace{}, flags);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    ASSERT_NO_FATAL_FAILURE(state.make(etcd));
    told = told_by(ctl_of(etcd, state.user));
    state.killed ? etcd.kill() : etcd.stop();
  }
  if (state.before) {
    ASSERT_NO_FATAL_FAILURE(state.before(data, wal));
  }
  const std::string files = swap::sums(data + "/member");

  Flags flags = state.own_flags;
  flags.insert(flags.end(), wal_flag.begin(), wal_flag.end());
  flags.push_back("--name=m");
  Server server({.binary = binary, .flags = flags, .keep_data = data});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  const Ctl ctl = ctl_of(server, state.user);
  EXPECT_EQ(told_by(ctl), told);
  EXPECT_EQ(swap::sums(data + "/member.etcd"), files);
  // What is its own from now on.
  const bool full = state.name == "NoSpace";
  if (!full) {
    EXPECT_EQ(ctl("put new v"), "OK\n");
    ASSERT_TRUE(server.stop().ok());
    ASSERT_TRUE(server.start().ok()) << server.log_tail();
  }
  if (state.after) {
    ASSERT_NO_FATAL_FAILURE(state.after(ctl));
  }
  told = told_by(ctl);
  state.killed ? server.kill() : (void)server.stop();

  const std::string verified =
      output_of(cat(keelutl, " verify --data-dir ", data, wal.empty() ? "" : " --wal-dir ", wal));
  EXPECT_THAT(verified, HasSubstr("all checks passed"));
  const std::string said =
      output_of(cat(keelutl, " export --data-dir ", data, wal.empty() ? "" : " --wal-dir ", wal,
                    " --output-dir ", path("back"), " --etcd-version 3.5"));
  TestEtcd etcd(path("back"), TestEtcdPlace{}, state.etcd_flags);
  ASSERT_TRUE(etcd.ready()) << said << output_of("tail -n 20 " + path("back.log"));
  EXPECT_EQ(told_by(ctl_of(etcd, state.user)), told);
  if (!full) {
    EXPECT_EQ(ctl_of(etcd, state.user)("put after all"), "OK\n");
  }
}

INSTANTIATE_TEST_SUITE_P(Of, States,
                         testing::Values(plain(), odd_ones(), leases(), users(), no_space(),
                                         compaction_under_way(), log_of_several_segments(),
                                         snapshot_within_the_log(), requests_of_version_2()),
                         [](const auto& info) { return info.param.name; });

// Nothing is changed before it is known that the member can go on: a log that asks for more than
// Keelson can do is left to etcd, which does it once more.
TEST_F(Swap, RequestsOfVersion2PastTheDatabase) {
  const std::string data = path("data"), imported = path("imported");
  const Flags flags = {"--enable-v2", "--backend-batch-interval=60s",
                       "--backend-batch-limit=1000000"};
  std::string told;
  {
    // As much as etcd keeps of itself before anybody asks for anything.
    TestEtcd etcd(data, TestEtcdPlace{}, flags);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    etcd.stop();
  }
  {
    TestEtcd etcd(data, TestEtcdPlace{}, flags);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    ASSERT_NO_FATAL_FAILURE(some_history(etcd));
    output_of(cat("ETCDCTL_API=2 ", etcd_directory(), "/etcdctl --endpoints=http://",
                  etcd.address(), " set foo bar"));
    ok(etcd, "put behind it");
    told = told_by(ctl_of(etcd));
    etcd.kill();
  }
  const std::string files = swap::sums(data);
  Server server({.binary = binary, .flags = {"--name=m"}, .keep_data = data});
  ASSERT_FALSE(server.start().ok());
  EXPECT_THAT(server.log_tail(),
              AllOf(HasSubstr("nothing was changed"), HasSubstr("(PUT /1/foo)"),
                    HasSubstr("Start the etcd that wrote it once more"), HasSubstr("SIGTERM")));
  EXPECT_THAT(output_of(cat(keelutl, " import --data-dir ", data, " --output-dir ", imported)),
              HasSubstr("nothing was changed"));
  EXPECT_FALSE(fs::exists(imported));
  EXPECT_EQ(swap::sums(data), files);
  {
    TestEtcd etcd(data, TestEtcdPlace{}, flags);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    EXPECT_EQ(told_by(ctl_of(etcd)), told);
    etcd.stop();
  }
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  EXPECT_EQ(told_by(ctl_of(server)), told);
  EXPECT_EQ(ctl_of(server)("put new v"), "OK\n");
}

// A cluster of a voter and a learner: both change over, the learner learns on and becomes a voter,
// and both go back.
TEST_F(Swap, ALearnerLearnsOn) {
  const std::string voter_url = cat("http://127.0.0.1:", reserve_test_port());
  const std::string learner_url = cat("http://127.0.0.1:", reserve_test_port());
  const TestEtcdPlace voter_place{.name = "m", .peer_url = voter_url};
  const TestEtcdPlace learner_place{.name = "l",
                                    .peer_url = learner_url,
                                    .initial_cluster = cat("m=", voter_url, ",l=", learner_url)};
  std::string told, id;
  {
    TestEtcd voter(path("m"), voter_place);
    ASSERT_TRUE(voter.ready()) << output_of("tail -n 20 " + path("m.log"));
    ASSERT_NO_FATAL_FAILURE(some_history(voter));
    id = ctl_of(voter)("member add l --learner --peer-urls=" + learner_url).substr(7, 16);
    TestEtcd learner(path("l"), learner_place, {"--initial-cluster-state=existing"});
    ASSERT_NO_FATAL_FAILURE(expect_learned(ctl_of(learner)));
    told = told_by(ctl_of(voter));
    ASSERT_THAT(told, HasSubstr("started, l, true"));
    learner.kill();
    voter.kill();
  }
  const auto member = [&](const std::string& name, const std::string& url) {
    return harness::ServerOptions{.binary = binary,
                                  .flags = {"--name=" + name, "--listen-peer-urls=" + url,
                                            "--initial-advertise-peer-urls=" + url},
                                  .keep_data = path(name)};
  };
  {
    Server voter(member("m", voter_url)), learner(member("l", learner_url));
    ASSERT_TRUE(voter.start().ok()) << voter.log_tail();
    ASSERT_TRUE(learner.start().ok()) << learner.log_tail();
    EXPECT_EQ(told_by(ctl_of(voter)), told);
    const Ctl of_learner = ctl_of(learner);
    ASSERT_NO_FATAL_FAILURE(expect_learned(of_learner));
    EXPECT_THAT(of_learner("get k0"), HasSubstr("rpc not supported for learner"));
    EXPECT_EQ(ctl_of(voter)("put new v"), "OK\n");
    ASSERT_TRUE(eventually([&] { return of_learner("get new --consistency=s") == "new\nv\n"; }));
    EXPECT_THAT(ctl_of(voter)("member promote " + id), HasSubstr("promoted in cluster"));
    EXPECT_EQ(ctl_of(learner)("put by-both v"), "OK\n");
    told = told_by(ctl_of(voter));
    ASSERT_THAT(told, HasSubstr("started, l, false"));
    ASSERT_TRUE(learner.stop().ok());
    ASSERT_TRUE(voter.stop().ok());
  }
  for (const char* name : {"m", "l"}) {
    const std::string said =
        output_of(cat(keelutl, " export --data-dir ", path(name), " --output-dir ", path(name),
                      ".back --etcd-version 3.5"));
    ASSERT_TRUE(fs::exists(path(name) + ".back/member/snap/db")) << said;
  }
  TestEtcd voter(path("m.back"), voter_place), learner(path("l.back"), learner_place);
  ASSERT_TRUE(voter.ready()) << output_of("tail -n 20 " + path("m.back.log"));
  ASSERT_TRUE(learner.ready()) << output_of("tail -n 20 " + path("l.back.log"));
  EXPECT_EQ(told_by(ctl_of(voter)), told);
  EXPECT_EQ(told_by(ctl_of(learner)), told);
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(
      argc, argv, {{"server", &keelson::binary}, {"utl", &keelson::keelutl}});
}
