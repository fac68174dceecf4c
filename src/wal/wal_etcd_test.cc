// Our log and a real etcd's, in turns on one data directory: etcd writes, we read every entry and
// append requests of our own over several segments; etcd starts on that, applies ours and writes
// on; we read again. Skipped where there is no etcd (KEELSON_ETCD names the directory of the
// programs).

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/protobuf.h"
#include "base/text.h"
#include "wal/wal.h"
#include "wire/internal_request.h"

namespace keelson::wal {
namespace {

std::string etcd_directory() {
  if (const char* given = std::getenv("KEELSON_ETCD")) return given;
  const char* home = std::getenv("HOME");
  return cat(home ? home : "", "/.cache/keelson/etcd-sid");
}

// A port that is free now.
int free_port() {
  int fd = ::socket(AF_INET, SOCK_STREAM, 0);
  sockaddr_in address = {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  ::bind(fd, reinterpret_cast<sockaddr*>(&address), size);
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  ::close(fd);
  return ntohs(address.sin_port);
}

std::string output_of(const std::string& command) {
  FILE* pipe = ::popen(cat(command, " 2>&1").c_str(), "r");
  std::string out;
  char chunk[4096];
  while (size_t n = std::fread(chunk, 1, sizeof(chunk), pipe)) out.append(chunk, n);
  ::pclose(pipe);
  return out;
}

class Etcd {
 public:
  explicit Etcd(const std::string& data_dir) {
    const std::string client = cat("http://127.0.0.1:", free_port());
    const std::string peer = cat("http://127.0.0.1:", free_port());
    ctl_ = cat("ETCDCTL_API=3 ", etcd_directory(), "/etcdctl --endpoints=", client, " ");
    const std::string log = cat(data_dir, ".log");
    pid_ = ::fork();
    if (pid_ == 0) {
      int fd = ::open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
      ::dup2(fd, 1);
      ::dup2(fd, 2);
      const std::string program = cat(etcd_directory(), "/etcd");
      ::execl(program.c_str(), "etcd", "--name=m", "--data-dir", data_dir.c_str(),
              "--listen-client-urls", client.c_str(), "--advertise-client-urls", client.c_str(),
              "--listen-peer-urls", peer.c_str(), "--initial-advertise-peer-urls", peer.c_str(),
              "--initial-cluster", cat("m=", peer).c_str(), nullptr);
      ::_exit(127);
    }
  }
  ~Etcd() { kill(); }

  // etcd answers its clients; false when it died instead.
  bool ready() {
    for (int i = 0; i < 300; ++i) {
      if (ctl("endpoint health").find("is healthy") != std::string::npos) return true;
      if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
        pid_ = -1;
        return false;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    }
    return false;
  }
  std::string ctl(const std::string& arguments) { return output_of(ctl_ + arguments); }
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  std::string ctl_;
  pid_t pid_ = -1;
};

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
    Etcd etcd(data);
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
    Etcd etcd(data);
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
