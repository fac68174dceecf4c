// start_test: what a server does with a data directory and flags that do not go together, before it
// touches anything: it ends with 1 and says why, and not a byte has changed. Beside that, whom its
// files are for, and which signals it survives.

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <thread>

#include "base/text.h"
#include "proto/rpc.pb.h"
#include "tests/harness/server.h"
#include "tests/harness/server_test.h"

namespace keelson::crash {
namespace {

namespace fs = std::filesystem;
using harness::Milliseconds;
using harness::Server;

// Path to kind and content.
using Tree = std::map<std::string, std::string>;

Tree tree_of(const std::string& root) {
  Tree tree;
  auto add = [&](const fs::path& path) {
    std::ifstream file(path, std::ios::binary);
    tree[path] = fs::is_directory(path) ? "directory"
                                        : std::string((std::istreambuf_iterator<char>(file)), {});
  };
  if (!fs::exists(root)) return tree;
  add(root);
  if (!fs::is_directory(root)) return tree;
  for (const auto& entry : fs::recursive_directory_iterator(root)) add(entry.path());
  return tree;
}

void write(const std::string& path, const std::string& text) {
  fs::create_directories(fs::path(path).parent_path());
  std::ofstream(path) << text;
}

class StartTest {
 public:
  explicit StartTest(std::string binary) : binary_(std::move(binary)) {
    std::string pattern = "/tmp/keelson-start-XXXXXX";
    home_ = mkdtemp(pattern.data());
    data_ = home_ + "/data";
  }
  ~StartTest() {
    std::error_code ignored;
    fs::remove_all(home_, ignored);
  }

  int run() {
    founding();
    foreign();
    parts();
    never_flushed();
    modes();
    sockets();
    signals();
    return failures_ == 0 ? 0 : 1;
  }

 private:
  void failed(const std::string& what) {
    std::cout << "FAILED " << what << "\n";
    ++failures_;
  }

  void expect_refused(const std::string& what, const std::vector<std::string>& flags,
                      const std::string& text) {
    const Tree before = tree_of(home_);
    Server one({binary_, flags, {}, data_});
    const absl::Status status = one.start(Milliseconds(20000));
    const std::string log = one.log_tail();
    if (status.ok()) return failed(what + ": it started");
    if (one.exit_text() != "exited with code 1") return failed(cat(what, ": ", one.exit_text()));
    if (log.find(text) == std::string::npos) {
      return failed(cat(what, ": no \"", text, "\" in ", log));
    }
    if (tree_of(home_) != before) return failed(what + ": something was written");
    std::cout << "refused: " << what << "\n";
  }

  void expect_started(const std::string& what, const std::vector<std::string>& flags = {}) {
    Server one({binary_, flags, {}, data_});
    if (absl::Status s = one.start(Milliseconds(20000)); !s.ok()) {
      return failed(cat(what, ": ", s.message()));
    }
    one.stop().IgnoreError();
  }

  void anew() { fs::remove_all(data_); }

  // Nobody is there to be joined. Directories are made by then, as by etcd, and nothing else.
  void joining(const std::vector<std::string>& flags) {
    Server one({binary_, flags, {}, data_});
    if (one.start(Milliseconds(20000)).ok()) return failed("it joined nobody");
    if (one.log_tail().find("cannot fetch cluster info from peer urls: could not retrieve cluster "
                            "information from the given URLs") == std::string::npos) {
      failed("why nobody could be joined: " + one.log_tail());
    }
    for (const auto& [path, kind] : tree_of(home_)) {
      if (kind != "directory") failed("joining nobody wrote " + path);
    }
    anew();
  }

  // The first of two waits for the other, and ends when it is told to.
  void waiting(const std::vector<std::string>& flags) {
    Server one({binary_, flags, {}, data_});
    if (absl::Status s = one.launch(); !s.ok()) return failed(cat("to launch: ", s.message()));
    for (int i = 0; i < 2000 && one.log_tail().find("serving peer traffic") == std::string::npos;
         ++i) {
      std::this_thread::sleep_for(Milliseconds(10));
    }
    if (one.exited()) return failed("it does not wait for the other member: " + one.log_tail());
    if (absl::Status s = one.stop(Milliseconds(20000)); !s.ok()) {
      failed(cat("a member that waits for others: ", s.message()));
    }
    anew();
  }

  // The flags of a member that is yet to be. The texts are etcd's.
  void founding() {
    const std::string two = "--initial-cluster=m1=http://127.0.0.1:9,m2=http://127.0.0.1:8";
    const std::string one = "--initial-cluster=m1=http://127.0.0.1:9";
    const std::string advertise = "--initial-advertise-peer-urls=http://127.0.0.1:";
    joining({two, "--initial-cluster-state=existing"});
    waiting({two, advertise + "9"});
    expect_refused("another name", {"--name=x"},
                   "couldn't find local name \\\"x\\\" in the initial cluster configuration");
    expect_refused("another URL", {one, advertise + "7"},
                   "--initial-cluster has m1=http://127.0.0.1:9 but missing from "
                   "--initial-advertise-peer-urls=http://127.0.0.1:7 (resolved urls: "
                   "\\\"http://127.0.0.1:7\\\" != \\\"http://127.0.0.1:9\\\")");
    expect_refused("one URL more", {one, advertise + "7,http://127.0.0.1:9"},
                   "--initial-advertise-peer-urls has http://127.0.0.1:7 but missing from "
                   "--initial-cluster=m1=http://127.0.0.1:7,m1=http://127.0.0.1:9");
    const std::string same = "--initial-cluster=m1=http://127.0.0.1:9,m2=http://127.0.0.1:9";
    expect_refused("one URL twice", {same, advertise + "9"},
                   "initial cluster m1=http://127.0.0.1:9,m2=http://127.0.0.1:9 has duplicate url");
    expect_refused("one URL twice, and not ours", {same, advertise + "7"},
                   "--initial-cluster has m1=http://127.0.0.1:9 but missing from "
                   "--initial-advertise-peer-urls=http://127.0.0.1:7");
    expect_refused("one URL twice, of others", {same, advertise + "9", "--name=x"},
                   "couldn't find local name \\\"x\\\" in the initial cluster configuration");
    expect_refused("our URL twice", {one + ",m1=http://127.0.0.1:9", advertise + "9"},
                   "failed to resolve http://127.0.0.1:9 to match "
                   "--initial-cluster=m1=http://127.0.0.1:9 (len([\\\"http://127.0.0.1:9\\\"]) != "
                   "len([\\\"http://127.0.0.1:9\\\" \\\"http://127.0.0.1:9\\\"]))");
    for (const char* no_url : {"m1", "m1="}) {
      expect_refused("no URL", {cat("--initial-cluster=", no_url), advertise + "9"},
                     "error setting up initial cluster: URL scheme must be http, https, unix, or "
                     "unixs: ");
    }
    expect_refused("no name", {"--initial-cluster==http://127.0.0.1:9", advertise + "9"},
                   "couldn't find local name \\\"m1\\\" in the initial cluster configuration");
    // This name alone is not looked up.
    expect_refused("the same address by name",
                   {one, "--initial-advertise-peer-urls=http://localhost:9"},
                   "(resolved urls: \\\"http://localhost:9\\\" != \\\"http://127.0.0.1:9\\\")");
    expect_started("the same address", {one, advertise + "9"});
    // Founded is founded: the flags mean nothing any more.
    expect_started("a member that is there",
                   {two, advertise + "7", "--initial-cluster-state=existing"});
    anew();
  }

  // What etcd leaves, and what is no directory of a member at all.
  void foreign() {
    for (const char* name :
         {"db", "0000000000000002-0000000000000010.snap", "00000000000000aa.snap.db"}) {
      const std::string lacks = std::string_view(name) == "db" ? "/member/wal" : "/member/snap/db";
      write(cat(data_, "/member/snap/", name), "etcd's");
      expect_refused(cat("etcd's ", name), {}, lacks);
      write(data_ + "/member/wal/0000000000000000-0000000000000000.wal", "etcd's");
      expect_refused(cat("etcd's ", name, " and log"), {}, lacks);
      anew();
    }
    write(data_ + "/member/wal/0000000000000000-0000000000000000.wal", "etcd's");
    expect_refused("a log alone", {}, "but no store in");
    anew();
    write(home_ + "/log/0000000000000000-0000000000000000.wal", "etcd's");
    expect_refused("a log alone, elsewhere", {"--wal-dir=" + home_ + "/log"}, "but no store in");
    fs::remove_all(home_ + "/log");
    write(data_, "a file");
    expect_refused("a file", {}, "is not a directory");
    anew();
    write(data_ + "/member", "a file");
    expect_refused("a file inside", {}, "Not a directory");
    anew();
    write(data_ + "/lost+found/x", "not ours");
    expect_started("something beside it");
    anew();
  }

  void parts() {
    expect_started("a new member");
    fs::rename(data_ + "/member/keelson", home_ + "/store");
    expect_refused("a log without its store", {}, "but no store in");
    fs::rename(home_ + "/store", data_ + "/member/keelson");
    fs::rename(data_ + "/member/wal", home_ + "/log");
    expect_refused("a store without its log", {}, "there is a store but no log");
    expect_started("the log elsewhere", {"--wal-dir=" + home_ + "/log"});
    fs::remove_all(home_ + "/log");
    expect_refused("the log within the store", {"--wal-dir=" + data_ + "/member/keelson/heads"},
                   "the log cannot be inside the store");
    anew();
    fs::create_directories(data_ + "/member/keelson");
    std::ofstream(data_ + "/member/keelson/000007.sst") << "a table";
    expect_refused("tables alone", {}, "there are tables of a store in");
    anew();
  }

  // A member that was killed soon after its first acknowledged write, and whose log went away.
  void never_flushed() {
    Server one({binary_, {}, {}, data_});
    if (absl::Status s = one.start(); !s.ok()) return failed(cat("never flushed: ", s.message()));
    etcdserverpb::PutRequest put;
    put.set_key("k");
    etcdserverpb::PutResponse answer;
    if (!one.client().unary("/etcdserverpb.KV/Put", put, &answer, {}).ok()) {
      failed("never flushed: no answer");
    }
    // Nobody asks for a flush, and there is no reason for one but that there was none.
    const std::string durable = data_ + "/member/keelson/KEELSON.durable";
    for (int i = 0; i < 1000 && !fs::exists(durable); ++i) usleep(10'000);
    one.kill();
    fs::rename(data_ + "/member/wal", home_ + "/log");
    expect_refused("a young store without its log", {}, "there is a store but no log");
    fs::remove_all(data_ + "/member/wal");
    fs::rename(home_ + "/log", data_ + "/member/wal");
    expect_started("a young store with its log");
    anew();
  }

  // The mask says who may connect, as under etcd; no mask opens the data.
  void sockets() {
    for (mode_t mask : {0022, 0002, 0077}) {
      const std::string path = cat(home_, "/socket");
      const mode_t old = ::umask(mask);
      Server one({binary_, {"--listen-client-http-urls=unix://" + path}, {}, data_});
      absl::Status started = one.start();
      ::umask(old);
      if (!started.ok()) return failed(cat("sockets: ", started.message()));
      struct stat found = {};
      if (::stat(path.c_str(), &found) != 0 || (found.st_mode & 0777) != (0777 & ~mask)) {
        failed(cat("mode of a socket: ", found.st_mode & 0777, " under the mask ", mask));
      }
      if (::stat((data_ + "/member").c_str(), &found) != 0 || (found.st_mode & 0777) != 0700) {
        failed("mode of the data beside a socket");
      }
      one.stop().IgnoreError();
      anew();
    }
    std::cout << "sockets: as the mask has them\n";
  }

  // Nobody else may read anything, whatever the mask.
  void modes() {
    const mode_t old = ::umask(0);
    fs::create_directories(data_);
    {
      Server one({binary_, {}, {}, data_});
      if (absl::Status s = one.start(); !s.ok()) failed(cat("modes: ", s.message()));
      if (one.log_tail().find("exist, but the permission is \\\"drwxrwxrwx\\\". The recommended "
                              "permission is \\\"-rwx------\\\"") == std::string::npos) {
        failed("a directory for everybody: no warning");
      }
      one.stop().IgnoreError();
    }
    ::umask(old);
    int seen = 0;
    for (const auto& entry : fs::recursive_directory_iterator(data_)) {
      struct stat found = {};
      ::stat(entry.path().c_str(), &found);
      const mode_t wanted = entry.is_directory() ? 0700 : 0600;
      if ((found.st_mode & 0777) != wanted) failed("mode of " + entry.path().string());
      ++seen;
    }
    if (seen < 5) failed("modes: hardly a file");
    std::cout << "modes: " << seen << " files and directories\n";
    anew();
  }

  // As etcd: Go's runtime swallows these, and leaves at SIGHUP.
  void signals() {
    Server one({binary_, {}, {}, data_});
    if (absl::Status s = one.start(); !s.ok()) return failed(cat("signals: ", s.message()));
    for (int number : {SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPROF, SIGXCPU, SIGXFSZ, SIGIO,
                       SIGPWR, SIGPIPE}) {
      ::kill(one.pid(), number);
      etcdserverpb::StatusRequest ask;
      etcdserverpb::StatusResponse answer;
      if (!one.client().unary("/etcdserverpb.Maintenance/Status", ask, &answer, {}).ok()) {
        return failed(cat("signal ", number, ": ", one.exited() ? one.exit_text() : "no answer"));
      }
    }
    ::kill(one.pid(), SIGHUP);
    for (int i = 0; i < 1000 && !one.exited(); ++i) usleep(10'000);
    if (one.exit_text() != "killed by signal 1") failed("SIGHUP: " + one.exit_text());
    std::cout << "signals: as etcd\n";
  }

  const std::string binary_;
  std::string home_, data_;
  int failures_ = 0;
};

}  // namespace
}  // namespace keelson::crash

int main(int argc, char** argv) {
  return keelson::harness::server_test(
      argc, argv, "Starts a server with directories and flags that do not go together.",
      [](const std::string& server) { return keelson::crash::StartTest(server).run(); });
}
