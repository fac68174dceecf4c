// swap_snapshot_test: Maintenance.Snapshot as its clients see it: what the messages say, of which
// moment the file is, how many may have one at a time, and what etcd makes of it.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <fstream>
#include <thread>

#include "base/test_etcd.h"
#include "base/text.h"
#include "boltfile/etcd_state.h"
#include "boltfile/hash_kv.h"
#include "boltfile/sha256.h"
#include "boltfile/verify.h"
#include "proto/rpc.pb.h"
#include "tests/harness/gtest_main.h"
#include "tests/harness/raw.h"
#include "tests/harness/server.h"

namespace keelson {
namespace {

using harness::Milliseconds;
using harness::Server;
namespace pb = etcdserverpb;

std::string binary, keelctl;  // NOLINT: from the command line

constexpr char kSnapshot[] = "/etcdserverpb.Maintenance/Snapshot";
constexpr Milliseconds kPatience{60000};

void put(Server& server, const std::string& key, const std::string& value) {
  pb::PutRequest request;
  request.set_key(key);
  request.set_value(value);
  const harness::Reply reply =
      server.client().unary("/etcdserverpb.KV/Put", request.SerializeAsString());
  ASSERT_TRUE(reply.status.ok()) << reply.status.error_message();
}

uint32_t hash_kv(Server& server, int64_t revision = 0) {
  pb::HashKVRequest request;
  request.set_revision(revision);
  pb::HashKVResponse response;
  const grpc::Status status =
      server.client().unary("/etcdserverpb.Maintenance/HashKV", request, &response);
  EXPECT_TRUE(status.ok()) << status.error_message();
  return response.hash();
}

std::unique_ptr<harness::Stream> open_snapshot(Server& server) {
  auto stream = server.client().stream(kSnapshot, {.deadline = kPatience});
  EXPECT_TRUE(stream->send(""));
  stream->half_close();
  return stream;
}

// The file, without its sum, which is checked; as is everything that the messages say.
std::string receive_all(harness::Stream& stream, size_t blob_size = 32 << 10) {
  std::string file, sum;
  uint64_t total = 0;
  while (std::optional<std::string> bytes = stream.receive(kPatience)) {
    pb::SnapshotResponse message;
    EXPECT_TRUE(message.ParseFromString(*bytes));
    EXPECT_TRUE(sum.empty()) << "a message behind the sum";
    if (total != 0 && file.size() == total) {
      sum = message.blob();
      EXPECT_EQ(message.remaining_bytes(), 0u);
      continue;
    }
    file += message.blob();
    if (total == 0) total = file.size() + message.remaining_bytes();
    EXPECT_EQ(file.size() + message.remaining_bytes(), total);
    EXPECT_EQ(message.blob().size(),
              std::min<uint64_t>(blob_size, message.blob().size() + message.remaining_bytes()));
    EXPECT_EQ(message.version(), "3.7.0");
  }
  const grpc::Status status = stream.finish();
  EXPECT_TRUE(status.ok()) << status.error_message();
  boltfile::Sha256 expected;
  expected.update(file);
  EXPECT_EQ(sum, expected.finish());
  return file;
}

std::unique_ptr<boltfile::File> open_checked(std::string_view bytes) {
  auto file = boltfile::File::open(boltfile::memory_source(bytes));
  EXPECT_TRUE(file.ok()) << file.status();
  if (!file.ok()) return nullptr;
  auto verdict = boltfile::verify(**file);
  EXPECT_TRUE(verdict.ok() && verdict->ok()) << verdict->status();
  return *std::move(file);
}

TEST(Snapshot, IsOfOneMoment) {
  Server server({.binary = binary});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  for (int i = 0; i < 300; ++i) put(server, cat("key", i % 50), std::string(30000, 'v'));
  std::atomic<bool> enough = false;
  std::thread writer([&] {
    for (int i = 0; !enough; ++i) put(server, cat("key", i % 50), std::string(2000, 'w'));
  });
  auto stream = open_snapshot(server);
  const std::string bytes = receive_all(*stream);
  enough = true;
  writer.join();
  auto file = open_checked(bytes);
  ASSERT_TRUE(file);
  absl::StatusOr<boltfile::KvHash> hash = boltfile::hash_kv(*file);
  ASSERT_TRUE(hash.ok()) << hash.status();
  EXPECT_GE(hash->current_revision, 301);
  EXPECT_EQ(hash->hash, hash_kv(server, hash->current_revision));
  // Each of those entries has changed the key bucket: log and revision belong together.
  absl::StatusOr<boltfile::EtcdState> state = boltfile::read_etcd_state(*file);
  ASSERT_TRUE(state.ok()) << state.status();
  EXPECT_EQ(state->meta.storage_version, "3.7.0");
  EXPECT_EQ(state->cluster_version, "3.7.0");
  EXPECT_EQ(state->auth_revision, 1u);
  ASSERT_EQ(state->members.size(), 1u);
  EXPECT_TRUE(state->meta.conf_state.has_value());
  EXPECT_GT(state->meta.consistent_index.value_or(Index(0)).value,
            static_cast<uint64_t>(hash->current_revision));
}

TEST(Snapshot, OnlySoManyAtOnce) {
  Server server({.binary = binary});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  for (int i = 0; i < 60; ++i) put(server, cat("key", i), std::string(1 << 20, 'v'));
  std::vector<std::unique_ptr<harness::Stream>> open;
  // Of the eight that may be under way, three are left for others than this connection.
  for (int i = 0; i < 5; ++i) {
    open.push_back(open_snapshot(server));
    ASSERT_TRUE(open.back()->receive(kPatience)) << i;
  }
  auto refused = open_snapshot(server);
  grpc::Status status = refused->finish();
  EXPECT_EQ(status.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_EQ(status.error_message(), "etcdserver: too many requests");
  // Those who do not read hold nobody up, and nothing of the file beyond what fits their windows.
  put(server, "another", "key");
  // One goes, and there is room for another.
  open.front()->cancel();
  open.front()->finish();
  std::string bytes;
  for (int tries = 0; bytes.empty() && tries < 100; ++tries) {
    auto next = open_snapshot(server);
    std::optional<std::string> first = next->receive(kPatience);
    if (!first) continue;
    next->cancel();
    bytes = *first;
  }
  EXPECT_FALSE(bytes.empty());
  open.erase(open.begin());
  // Another reads to the end, later than everybody wrote.
  auto last = std::move(open.back());
  open.clear();
  while (last->receive(kPatience)) {
  }
  EXPECT_TRUE(last->finish().ok());
}

// What failed is not kept for a client that takes nothing: the state it was of would be.
TEST(Snapshot, OneThatFailedLeavesItsPlace) {
  namespace h2 = harness::h2;
  Server server({.binary = binary, .environment = {"KEELSON_FAILPOINTS=snapshot_slice=error@1"}});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  for (int i = 0; i < 60; ++i) put(server, cat("key", i), std::string(1 << 20, 'v'));
  harness::RawConnection silent(server.address());
  constexpr uint16_t kInitialWindow = 4;
  ASSERT_TRUE(silent.send(h2::preface() + h2::setting(kInitialWindow, 0) +
                          h2::unary_call(1, kSnapshot, "")));
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (server.log().find("failed to send database snapshot to client") == std::string::npos) {
    ASSERT_LT(std::chrono::steady_clock::now(), until) << server.log_tail();
    put(server, "another", "key");
  }
  // With one more under way there would be no room for the last of these.
  std::vector<std::unique_ptr<harness::Stream>> open;
  for (int i = 0; i < 5; ++i) {
    open.push_back(open_snapshot(server));
    ASSERT_TRUE(open.back()->receive(kPatience)) << i;
  }
}

TEST(Snapshot, EndsWithTheServer) {
  Server server({.binary = binary});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  for (int i = 0; i < 40; ++i) put(server, cat("key", i), std::string(1 << 20, 'v'));
  auto stream = open_snapshot(server);
  ASSERT_TRUE(stream->receive(kPatience));
  std::thread reader([&] {
    const grpc::Status status = stream->finish();
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAVAILABLE) << status.error_message();
  });
  EXPECT_TRUE(server.stop(Milliseconds(10000)).ok());
  reader.join();
}

class SnapshotWithEtcd : public testing::Test {
 protected:
  void SetUp() override {
    if (!there_is_etcd()) GTEST_SKIP() << "no etcd in " << etcd_directory();
    dir_ = cat(testing::TempDir(), "keelson_swap_snapshot_", ::getpid());
    std::filesystem::remove_all(dir_);
    std::filesystem::create_directories(dir_);
  }
  void TearDown() override {
    if (!dir_.empty()) std::filesystem::remove_all(dir_);
  }
  std::string path(const std::string& name) const { return cat(dir_, "/", name); }

  std::string dir_;
};

void fill(Server& server, const std::string& ctl) {
  for (int i = 0; i < 40; ++i)
    put(server, cat("k", i % 17), std::string(static_cast<size_t>(i * 200), 'v'));
  const std::string granted = output_of(cat(ctl, "lease grant 1000"));
  output_of(cat(ctl, "put leased v --lease=", granted.substr(6, 16)));
  output_of(cat(ctl, "del k3"));
  output_of(cat(ctl, "compaction 20"));
  output_of(cat(ctl, "put last v"));
}

// Saved by either client, restored by etcdutl, served by etcd.
TEST_F(SnapshotWithEtcd, ServesIt) {
  Server server({.binary = binary});
  ASSERT_TRUE(server.start().ok()) << server.log_tail();
  const std::string etcdctl =
      cat("ETCDCTL_API=3 ", etcd_directory(), "/etcdctl --endpoints=", server.address(), " ");
  const std::string ours = cat(keelctl, " --endpoints=", server.address(), " ");
  fill(server, etcdctl);
  const uint32_t hash = hash_kv(server);
  const std::string keys = output_of(cat(etcdctl, "get '' --from-key"));
  const std::string leases = output_of(cat(etcdctl, "lease list"));
  for (const auto& [name, ctl] : {std::pair("etcdctl", etcdctl), {"keelctl", ours}}) {
    SCOPED_TRACE(name);
    const std::string snapshot = path(name), data = path(cat(name, "_data"));
    const std::string saved = output_of(cat(ctl, "snapshot save ", snapshot));
    ASSERT_THAT(saved, testing::HasSubstr(cat("Snapshot saved at ", snapshot)));
    EXPECT_FALSE(std::filesystem::exists(snapshot + ".part"));
    const std::string said = output_of(
        cat(etcd_directory(), "/etcdutl snapshot restore ", snapshot,
            " --name m --initial-cluster m=http://127.0.0.1:1 --initial-advertise-peer-urls "
            "http://127.0.0.1:1 --data-dir ",
            data));
    ASSERT_THAT(said, testing::HasSubstr("restored snapshot"));
    TestEtcd etcd(data);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    EXPECT_THAT(etcd.ctl("endpoint hashkv -w json"),
                testing::HasSubstr(cat("\"hash\":", hash, ",")));
    EXPECT_EQ(etcd.ctl("get '' --from-key"), keys);
    EXPECT_EQ(etcd.ctl("lease list"), leases);
    EXPECT_EQ(etcd.ctl("put after all"), "OK\n");
  }
}

}  // namespace
}  // namespace keelson

int main(int argc, char** argv) {
  return keelson::harness::run_all_tests(
      argc, argv, {{"server", &keelson::binary}, {"ctl", &keelson::keelctl}});
}
