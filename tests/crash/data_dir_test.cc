// data_dir_test: data directories that must be refused, each with a message that says what is
// wrong: one that another process uses, one on a read-only file system, one of another owner, one
// whose files were emptied or removed. Never may a member start over as an empty one.
//
// As root all of it runs; without, what needs mounts and other users is left out (and said so).

#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/server.h"
#include "tests/harness/server_test.h"

namespace keelson::crash {
namespace {

namespace fs = std::filesystem;
using namespace etcdserverpb;
using harness::Milliseconds;
using harness::Server;

constexpr int kKeys = 200;
constexpr uid_t kNobody = 65534;

std::string temporary_directory() {
  std::string pattern = "/tmp/keelson-data-dir-XXXXXX";
  return mkdtemp(pattern.data()) != nullptr ? pattern : "";
}

class DataDirTest {
 public:
  explicit DataDirTest(const std::string& binary) : home_(temporary_directory()) {
    // Where any user can run it.
    binary_ = home_ + "/keelson";
    fs::copy_file(binary, binary_);
    fs::permissions(binary_, fs::perms(0755));
    fs::permissions(home_, fs::perms(0755));
    data_ = home_ + "/data";
  }
  ~DataDirTest() {
    std::error_code ignored;
    fs::remove_all(home_, ignored);
  }

  int run() {
    if (!fill()) return 1;
    second_process();
    emptied_files();
    removed_files();
    if (geteuid() == 0) {
      wrong_owner();
      read_only();
    } else {
      std::cout << "left out: other owners and read-only file systems (not root)\n";
    }
    return failures_ == 0 ? 0 : 1;
  }

 private:
  // Small buffers: several files of each kind.
  Server server(const std::string& data) {
    return Server({binary_,
                   {"--keelson-write-buffer-bytes=262144", "--keelson-wal-segment-bytes=65536",
                    "--snapshot-count=50", "--snapshot-catchup-entries=50", "--max-wals=1"},
                   {},
                   data});
  }

  void failed(const std::string& what) {
    std::cout << "FAILED " << what << "\n";
    ++failures_;
  }

  bool fill() {
    Server one = server(data_);
    if (absl::Status s = one.start(); !s.ok()) {
      failed(cat("start: ", s.message()));
      return false;
    }
    for (int i = 0; i < 3 * kKeys; ++i) {
      PutRequest put;
      put.set_key(cat("k", i % kKeys));
      put.set_value(std::string(2000, static_cast<char>('a' + i % 26)));
      PutResponse answer;
      one.client().unary("/etcdserverpb.KV/Put", put, &answer, {});
    }
    if (!complete(one)) {
      failed("not everything was written");
      return false;
    }
    one.kill();
    return true;
  }

  static bool complete(Server& one) {
    RangeRequest all;
    all.set_key(std::string(1, '\0'));
    all.set_range_end(std::string(1, '\0'));
    RangeResponse answer;
    const grpc::Status status = one.client().unary("/etcdserverpb.KV/Range", all, &answer, {});
    return status.ok() && answer.count() == kKeys && answer.header().revision() == 3 * kKeys + 1;
  }

  // Not started, by its own decision, with `text` in its log.
  void expect_refused(const std::string& what, const std::string& data, const std::string& text) {
    Server one = server(data);
    const absl::Status status = one.start(Milliseconds(20000));
    const std::string log = one.log_tail();
    if (status.ok()) return failed(what + ": it started");
    if (one.exit_text() != "exited with code 1") return failed(cat(what, ": ", one.exit_text()));
    if (log.find(text) == std::string::npos) {
      return failed(cat(what, ": no \"", text, "\" in ", log));
    }
    const size_t fatal = log.find("failed to start");
    std::cout << what << ": " << (fatal == std::string::npos ? log : log.substr(fatal)) << "\n";
  }

  void second_process() {
    Server first = server(data_);
    if (absl::Status s = first.start(); !s.ok()) return failed(cat("first: ", s.message()));
    expect_refused("second process", data_, "another process");
    if (!complete(first)) failed("the first process was disturbed");
    first.kill();
  }

  std::vector<std::string> files() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::recursive_directory_iterator(data_)) {
      if (entry.is_regular_file()) out.push_back(fs::relative(entry.path(), data_));
    }
    return out;
  }

  std::string newest_segment() const {
    std::string newest;
    for (const std::string& file : files()) {
      if (file.ends_with(".wal")) newest = std::max(newest, file);
    }
    return newest;
  }

  std::string copy() {
    const std::string out = home_ + "/copy";
    fs::remove_all(out);
    fs::copy(data_, out, fs::copy_options::recursive);
    return out;
  }

  // May start with everything there, or refuse.
  void expect_whole_or_refused(const std::string& what, const std::string& data) {
    Server one = server(data);
    if (!one.start(Milliseconds(20000)).ok()) {
      if (one.exit_text() != "exited with code 1") failed(cat(what, ": ", one.exit_text()));
      ++refused_;
      return;
    }
    if (!complete(one)) failed(what + ": started without its data");
    ++whole_;
  }

  void each_file(const std::string& verb, const std::function<void(const std::string&)>& harm) {
    refused_ = whole_ = 0;
    for (const std::string& file : files()) {
      const std::string data = copy();
      harm(data + "/" + file);
      expect_whole_or_refused(cat(verb, " ", file), data);
    }
    const std::string data = copy();
    for (const std::string& file : files()) harm(data + "/" + file);
    const int before = refused_;
    expect_whole_or_refused(cat(verb, " all files"), data);
    if (refused_ == before) failed(verb + " all files: it started");
    std::cout << verb << " files: " << refused_ << " refused, " << whole_ << " harmless\n";
  }

  void emptied_files() {
    each_file("emptied", [](const std::string& path) { fs::resize_file(path, 0); });
  }

  // All files gone is a new directory; what is tested is each alone, and the store or the log
  // alone.
  void removed_files() {
    refused_ = whole_ = 0;
    for (const std::string& file : files()) {
      if (file == newest_segment()) continue;
      const std::string data = copy();
      fs::remove(data + "/" + file);
      expect_whole_or_refused("removed " + file, data);
    }
    for (const std::string part : {"/member/wal", "/member/keelson"}) {
      const std::string data = copy();
      fs::remove_all(data + part);
      expect_whole_or_refused("removed " + part, data);
    }
    std::cout << "removed files: " << refused_ << " refused, " << whole_ << " harmless\n";
  }

  // The child only becomes somebody else and the server: gRPC does not live through a fork.
  void wrong_owner() {
    const std::string log = home_ + "/wrong-owner.log";
    const pid_t child = fork();
    if (child == 0) {
      const int out = open(log.c_str(), O_CREAT | O_WRONLY | O_TRUNC, 0600);
      const bool ready = out >= 0 && dup2(out, 1) >= 0 && dup2(out, 2) >= 0 &&
                         setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
                         setresuid(kNobody, kNobody, kNobody) == 0;
      if (ready) {
        execl(binary_.c_str(), binary_.c_str(), "--data-dir", data_.c_str(), "--listen-client-urls",
              "http://127.0.0.1:0", "--advertise-client-urls", "http://127.0.0.1:0", nullptr);
      }
      _exit(127);
    }
    int status = 0;
    if (!ended(child, &status)) {
      kill(child, SIGKILL);
      waitpid(child, &status, 0);
      return failed("wrong owner: the server runs");
    }
    std::ifstream file(log);
    const std::string said((std::istreambuf_iterator<char>(file)), {});
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 1 || said.find(data_) == std::string::npos) {
      failed("wrong owner: " + said);
    }
  }

  // Whether the child has ended, asked for at most half a minute.
  static bool ended(pid_t child, int* status) {
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(30);
    while (waitpid(child, status, WNOHANG) == 0) {
      if (std::chrono::steady_clock::now() > give_up) return false;
      usleep(10'000);
    }
    return true;
  }

  void read_only() {
    if (unshare(CLONE_NEWNS) != 0 ||
        mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
        mount(data_.c_str(), data_.c_str(), nullptr, MS_BIND, nullptr) != 0 ||
        mount("none", data_.c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr) != 0) {
      std::cout << "left out: read-only file system (no mounts here)\n";
      return;
    }
    expect_refused("read-only", data_, "Read-only file system");
    umount2(data_.c_str(), MNT_DETACH);
  }

  const std::string home_;
  std::string binary_;
  std::string data_;
  int failures_ = 0;
  int refused_ = 0;
  int whole_ = 0;
};

}  // namespace
}  // namespace keelson::crash

int main(int argc, char** argv) {
  return keelson::harness::server_test(
      argc, argv, "Starts a server on data directories that it must refuse.",
      [](const std::string& server) { return keelson::crash::DataDirTest(server).run(); });
}
