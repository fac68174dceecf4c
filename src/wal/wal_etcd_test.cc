// Our log and a real etcd's, in turns on one data directory: etcd writes, we read every entry and
// append requests of our own over several segments; etcd starts on that, applies ours and writes
// on; we read again. Skipped where there is no etcd (KEELSON_ETCD names the directory of the
// programs).

#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>

#include "base/protobuf.h"
#include "base/test_etcd.h"
#include "base/text.h"
#include "wal/wal.h"
#include "wire/internal_request.h"

namespace keelson::wal {
namespace {

Bytes put_request(uint64_t id, std::string_view key, std::string_view value) {
  std::string put;
  pb::append_bytes_field(put, 1, key);
  pb::append_bytes_field(put, 2, value);
  return wire::wrap_internal(id, "", 0, wire::InternalKind::kPut, put);
}

size_t count_puts(const std::vector<raft::Entry>& entries, std::string_view key_prefix) {
  size_t count = 0;
  for (const raft::Entry& entry : entries) {
    if (entry.type != raft::EntryType::kNormal || entry.data.empty()) continue;
    absl::StatusOr<wire::InternalRequest> request = wire::unwrap_internal(entry.data);
    EXPECT_TRUE(request.ok()) << request.status() << testing::PrintToString(entry.data.str());
    if (request.ok() && request->kind == wire::InternalKind::kPut) {
      count += request->body.substr(2).starts_with(key_prefix);
    }
  }
  return count;
}

TEST(WalEtcd, TakesTurnsOnOneDirectory) {
  if (!std::filesystem::exists(etcd_directory() + "/etcd")) {
    GTEST_SKIP() << "no etcd in " << etcd_directory();
  }
  const std::string data = cat(testing::TempDir(), "keelson_wal_etcd_", ::getpid());
  const std::string dir = data + "/member/wal";
  std::filesystem::remove_all(data);
  {
    TestEtcd etcd(data);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    for (int i = 0; i < 20; ++i) ASSERT_EQ(etcd.ctl(cat("put theirs", i, " value")), "OK\n");
    // A second program on the directory is refused by ours too.
    std::vector<raft::Entry> none;
    EXPECT_EQ(Wal::open(dir, {}, {}, collect_into(&none)).status().code(),
              absl::StatusCode::kFailedPrecondition);
  }

  std::vector<raft::Entry> entries;
  Options options;
  options.segment_bytes = 64 << 10;
  absl::StatusOr<Opened> opened = Wal::open(dir, {}, options, collect_into(&entries));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_NE(wire::decode_wal_metadata(opened->metadata)->node_id, MemberId(0));
  EXPECT_EQ(count_puts(entries, "theirs"), 20u);
  EXPECT_EQ(entries.front().index, Index(1));
  EXPECT_EQ(entries.front().type, raft::EntryType::kConfChange);

  raft::HardState state = opened->state;
  for (uint64_t i = 0; i < 500; ++i) {
    raft::Entry entry;
    entry.index = opened->wal->last_index() + 1;
    entry.term = state.term;
    entry.data = put_request(7000 + i, cat("ours", i), std::string(1000, 'o'));
    entry.data_set = true;
    state.commit = entry.index;
    ASSERT_TRUE(opened->wal->append(state, {&entry, 1}).ok());
    if (i % 10 == 0) {
      ASSERT_TRUE(opened->wal->sync().ok());
    }
  }
  ASSERT_TRUE(opened->wal->close().ok());
  opened->wal.reset();
  {
    TestEtcd etcd(data);
    ASSERT_TRUE(etcd.ready()) << output_of("tail -n 20 " + data + ".log");
    EXPECT_NE(etcd.ctl("get --prefix --count-only -w fields ours").find("\"Count\" : 500"),
              std::string::npos);
    EXPECT_EQ(etcd.ctl("get --print-value-only ours499"), std::string(1000, 'o') + "\n");
    for (int i = 0; i < 5; ++i) ASSERT_EQ(etcd.ctl(cat("put again", i, " value")), "OK\n");
  }
  entries.clear();
  opened = Wal::open(dir, {}, {}, collect_into(&entries));
  ASSERT_TRUE(opened.ok()) << opened.status();
  EXPECT_EQ(count_puts(entries, "theirs"), 20u);
  EXPECT_EQ(count_puts(entries, "ours"), 500u);
  EXPECT_EQ(count_puts(entries, "again"), 5u);
  opened->wal.reset();
  std::filesystem::remove_all(data);
  std::filesystem::remove(data + ".log");
}

}  // namespace
}  // namespace keelson::wal
