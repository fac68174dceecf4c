// full_disk_test: a server on a small file system that fills up, under its log or under its store,
// and gets space again. Writes are refused with a clear error and an alarm, reads go on; then
// writes work again without a restart, and nothing that was acknowledged is missing, before and
// after one.
//
// Needs to mount a tmpfs (in a mount namespace of its own): skipped where it may not.

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <map>
#include <random>
#include <string_view>
#include <thread>

#include "base/text.h"
#include "tests/crash/model.h"
#include "tests/harness/schema.h"
#include "tests/harness/server.h"
#include "tests/harness/server_test.h"

namespace keelson::crash {
namespace {

using namespace etcdserverpb;
using harness::Milliseconds;
using harness::Server;

constexpr int kKeys = 50;
constexpr int kMostWrites = 100000;
constexpr int kMostTaken = 2000;
constexpr Milliseconds kRecovery{20000};
constexpr size_t kChunk = 64 << 10;

struct Case {
  const char* name;
  const char* mount_size;
  std::vector<std::string> flags;
  size_t value_bytes;
  uint64_t leave;  // bytes left on the disk when the load begins
};

absl::Status wrong(const std::string& what) { return absl::DataLossError(what); }

// A file that takes all the space there is, until it is removed.
class Ballast {
 public:
  explicit Ballast(std::string path) : path_(std::move(path)) {}
  // Leaves about `leave` bytes.
  void fill(uint64_t leave) {
    const int fd = open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const std::string chunk(kChunk, 'b');
    while (free_space() > leave + kChunk && write(fd, chunk.data(), chunk.size()) > 0) {
    }
    const std::string small(4096, 'b');
    while (free_space() > leave && write(fd, small.data(), small.size()) > 0) {
    }
    close(fd);
  }
  void remove() { unlink(path_.c_str()); }

 private:
  uint64_t free_space() const {
    struct statvfs info {};
    statvfs(std::filesystem::path(path_).parent_path().c_str(), &info);
    return info.f_bavail * info.f_bsize;
  }
  const std::string path_;
};

class FullDisk {
 public:
  FullDisk(std::string binary, const Case& what, const std::string& mount)
      : what_(what),
        mount_(mount),
        ballast_(mount + "/ballast"),
        server_({std::move(binary), what.flags, {}, mount + "/data"}) {}

  absl::Status run() {
    if (absl::Status s = server_.start(); !s.ok()) return s;
    for (int i = 0; i < kKeys; ++i) {
      if (grpc::Status s = put(); !s.ok()) return wrong(cat("before: ", s.error_message()));
    }
    ballast_.fill(what_.leave);
    if (absl::Status s = write_until_full(); !s.ok()) return s;
    if (absl::Status s = while_full(); !s.ok()) return s;
    ballast_.remove();
    if (absl::Status s = write_again(); !s.ok()) return s;
    if (absl::Status s = check("after space returned"); !s.ok()) return s;
    server_.kill();
    if (absl::Status s = server_.start(); !s.ok()) return s;
    if (absl::Status s = check("after kill -9"); !s.ok()) return s;
    if (grpc::Status s = put(); !s.ok()) return wrong(cat("after kill -9: ", s.error_message()));
    if (absl::Status s = server_.stop(); !s.ok()) return s;
    if (absl::Status s = server_.start(); !s.ok()) return s;
    if (absl::Status s = check("after a stop"); !s.ok()) return s;
    return stop_while_full();
  }

  std::string log_tail() const { return server_.log_tail(); }

 private:
  // An orderly end does not wait until there is space.
  absl::Status stop_while_full() {
    ballast_.fill(what_.leave);
    if (absl::Status s = write_until_full(); !s.ok()) return s;
    if (absl::Status s = server_.stop(); !s.ok()) return wrong(cat("stop: ", s.message()));
    ballast_.remove();
    if (absl::Status s = server_.start(); !s.ok()) return s;
    return check("after a stop on a full disk");
  }

  // A write that is answered with an error may or may not have happened; until it is known, the
  // model has both futures. One writer, so there is never more than a run of them.
  grpc::Status put() {
    PutRequest request;
    request.set_key(cat("k", next_ % kKeys));
    request.set_value(cat(next_, "#", std::string(what_.value_bytes, 'v')));
    ++next_;
    PutResponse response;
    grpc::Status status =
        server_.client().unary("/etcdserverpb.KV/Put", request, &response, {Milliseconds(15000)});
    TxnRequest txn;
    *txn.add_success()->mutable_request_put() = request;
    if (status.ok()) {
      settle(response.header().revision() - 1);
      model_.apply(txn);
    } else if (status.error_code() != grpc::StatusCode::RESOURCE_EXHAUSTED) {
      doubtful_.push_back(txn);
    }
    return status;
  }

  // The store is at `revision`: so many of the doubtful writes were done, in their order. (A
  // refused one was not.)
  void settle(int64_t revision) {
    for (const TxnRequest& txn : doubtful_) {
      if (model_.revision() < revision) model_.apply(txn);
    }
    doubtful_.clear();
  }

  absl::Status write_until_full() {
    for (int i = 0; i < kMostWrites; ++i) {
      const grpc::Status status = put();
      if (status.ok()) continue;
      if (server_.exited()) return wrong("the server ended: " + server_.log_tail());
      std::cout << what_.name << ": " << i << " writes, then " << status.error_code() << " "
                << status.error_message() << std::endl;
      if (status.error_code() == grpc::StatusCode::RESOURCE_EXHAUSTED) return absl::OkStatus();
    }
    return wrong("the disk never got full");
  }

  // The member lets go of all it can: that is taken from it, too.
  absl::Status while_full() {
    for (int i = 0, taken = 0; i < 20; ++i) {
      const grpc::Status status = put();
      if (status.ok()) {
        if (++taken == kMostTaken) return wrong("writes are taken while the disk is full");
        ballast_.fill(0);
        i = -1;
        continue;
      }
      if (status.error_message() != "etcdserver: mvcc: database space exceeded") {
        return wrong(cat("refused with: ", status.error_code(), " ", status.error_message()));
      }
      RangeRequest read;
      read.set_key(cat("k", i));
      RangeResponse answer;
      for (bool serializable : {true, false}) {
        read.set_serializable(serializable);
        const grpc::Status got =
            server_.client().unary("/etcdserverpb.KV/Range", read, &answer, {Milliseconds(3000)});
        if (!got.ok() || answer.count() != 1) return wrong("no reads: " + got.error_message());
      }
    }
    StatusResponse status;
    grpc::Status asked = server_.client().unary("/etcdserverpb.Maintenance/Status", StatusRequest(),
                                                &status, {Milliseconds(3000)});
    if (!asked.ok()) return wrong("no status: " + asked.error_message());
    if (!alarmed(status)) return wrong("no alarm in " + harness::to_text(status));
    AlarmRequest list;
    AlarmResponse alarms;
    asked = server_.client().unary("/etcdserverpb.Maintenance/Alarm", list, &alarms,
                                   {Milliseconds(3000)});
    if (!asked.ok()) return wrong("no list of alarms: " + asked.error_message());
    if (alarms.alarms_size() != 1) return wrong("alarms: " + harness::to_text(alarms));
    return absl::OkStatus();
  }

  static bool alarmed(const StatusResponse& status) {
    for (const std::string& error : status.errors()) {
      if (error.find("NOSPACE") != std::string::npos) return true;
    }
    return false;
  }

  absl::Status write_again() {
    const auto start = std::chrono::steady_clock::now();
    grpc::Status status;
    while (std::chrono::steady_clock::now() < start + kRecovery) {
      status = put();
      if (status.ok()) break;
      if (server_.exited()) return wrong("the server ended: " + server_.log_tail());
      std::this_thread::sleep_for(Milliseconds(50));
    }
    if (!status.ok()) return wrong("still refused: " + status.error_message());
    std::cout << what_.name << ": writes again after "
              << std::chrono::duration_cast<Milliseconds>(std::chrono::steady_clock::now() - start)
                     .count()
              << " ms" << std::endl;
    for (int i = 0; i < kKeys; ++i) {
      if (status = put(); !status.ok()) return wrong("refused again: " + status.error_message());
    }
    StatusResponse now;
    status = server_.client().unary("/etcdserverpb.Maintenance/Status", StatusRequest(), &now, {});
    return alarmed(now) ? wrong("the alarm stays") : absl::OkStatus();
  }

  absl::Status check(const std::string& when) {
    RangeRequest all;
    all.set_key(std::string(1, '\0'));
    all.set_range_end(std::string(1, '\0'));
    RangeResponse answer;
    grpc::Status status = server_.client().unary("/etcdserverpb.KV/Range", all, &answer, {});
    if (!status.ok()) return wrong(cat(when, ": ", status.error_message()));
    settle(answer.header().revision());
    if (answer.header().revision() != model_.revision()) {
      return wrong(
          cat(when, ": revision ", answer.header().revision(), ", not ", model_.revision()));
    }
    std::map<std::string, mvccpb::KeyValue> there;
    for (const mvccpb::KeyValue& kv : answer.kvs()) there[kv.key()] = kv;
    for (const auto& [key, kv] : model_.keys()) {
      if (there[key].SerializeAsString() != kv.SerializeAsString()) {
        return wrong(cat(when, ": ", key, " is at ", there[key].mod_revision(), ", not ",
                         kv.mod_revision()));
      }
    }
    HashKVResponse hash;
    status = server_.client().unary("/etcdserverpb.Maintenance/HashKV", HashKVRequest(), &hash, {});
    if (!status.ok()) return wrong(cat(when, ": ", status.error_message()));
    if (hash.hash() != model_.hash(model_.revision(), -1)) return wrong(cat(when, ": hash"));
    return absl::OkStatus();
  }

  const Case& what_;
  const std::string mount_;
  Ballast ballast_;
  Server server_;
  Model model_;
  std::vector<TxnRequest> doubtful_;
  int next_ = 0;
};

// The member fills the disk with its own data, and gets out by itself: with a compaction and a
// defragmentation, after a restart on the full disk too. With etcd that is the end.
class FilledByItself {
 public:
  FilledByItself(std::string binary, const Case& what, const std::string& mount)
      : what_(what), server_({std::move(binary), what.flags, {}, mount + "/data"}) {}

  absl::Status run() {
    if (absl::Status s = server_.start(); !s.ok()) return s;
    for (int round = 0; round < 3; ++round) {
      if (absl::Status s = fill(); !s.ok()) return s;
      if (round > 0) {
        // A restart on the full disk: killed once, told to end once.
        if (round == 1) server_.kill();
        if (absl::Status s = round == 2 ? server_.stop() : absl::OkStatus(); !s.ok()) return s;
        if (absl::Status s = server_.start(); !s.ok()) return wrong(cat("full: ", s.message()));
      }
      if (absl::Status s = read(); !s.ok()) return s;
      if (absl::Status s = get_out(); !s.ok()) return s;
    }
    return absl::OkStatus();
  }
  std::string log_tail() const { return server_.log_tail(); }

 private:
  template <typename Request, typename Response>
  absl::Status call(const char* method, const Request& request, Response* response) {
    const grpc::Status status = server_.client().unary(cat("/etcdserverpb.", method), request,
                                                       response, {.deadline = kPatience});
    if (server_.exited()) return wrong("the server ended");
    if (status.ok()) return absl::OkStatus();
    return absl::Status(static_cast<absl::StatusCode>(status.error_code()),
                        cat(method, ": ", status.error_message()));
  }

  absl::Status put() {
    PutRequest request;
    request.set_key(cat("k", last_ + 1));
    std::string value(what_.value_bytes, '\0');
    for (char& c : value) c = static_cast<char>(random_());
    request.set_value(value);
    PutResponse response;
    absl::Status status = call("KV/Put", request, &response);
    if (!status.ok()) return status;
    ++last_;
    return status;
  }

  // Until nothing was taken for a while: what the member can let go of by itself is used up, too.
  absl::Status fill() {
    const int before = last_;
    auto taken = std::chrono::steady_clock::now();
    while (last_ < before + kMostWrites) {
      const absl::Status status = put();
      const auto now = std::chrono::steady_clock::now();
      if (status.ok()) taken = now;
      if (now < taken + kForGood) continue;
      if (!absl::IsResourceExhausted(status) && !absl::IsDeadlineExceeded(status) &&
          !absl::IsUnavailable(status)) {
        return status;
      }
      std::cout << what_.name << ": " << last_ - before << " writes, then " << status << std::endl;
      if (last_ - before < kFewest) return wrong("the space did not come back");
      return absl::OkStatus();
    }
    return wrong("the disk never got full");
  }

  absl::Status read() {
    RangeRequest request;
    request.set_key(cat("k", last_));
    RangeResponse response;
    if (absl::Status s = call("KV/Range", request, &response); !s.ok()) return s;
    return response.count() == 1 ? absl::OkStatus() : wrong("an acknowledged write is missing");
  }

  absl::Status get_out() {
    DeleteRangeRequest all;
    all.set_key(std::string(1, '\0'));
    all.set_range_end(std::string(1, '\0'));
    DeleteRangeResponse deleted;
    if (absl::Status s = call("KV/DeleteRange", all, &deleted); !s.ok()) return s;
    CompactionRequest compact;
    compact.set_revision(deleted.header().revision());
    CompactionResponse compacted;
    if (absl::Status s = call("KV/Compact", compact, &compacted); !s.ok()) return s;
    // What came free may be just what is kept in reserve: then there is no room for it yet, and the
    // store goes on by itself, as the answer says, if it is let: each try takes the store's turn.
    const auto start = std::chrono::steady_clock::now();
    DefragmentResponse done;
    absl::Status status = call("Maintenance/Defragment", DefragmentRequest(), &done);
    while (!status.ok() && status.message().find("the disk is full") != std::string::npos &&
           std::chrono::steady_clock::now() < start + kRecovery) {
      std::this_thread::sleep_for(Milliseconds(500));
      status = call("Maintenance/Defragment", DefragmentRequest(), &done);
    }
    if (!status.ok()) return status;
    do {
      status = put();
      if (status.ok()) return status;
      std::this_thread::sleep_for(Milliseconds(50));
    } while (std::chrono::steady_clock::now() < start + kRecovery);
    return wrong(cat("still refused: ", status.message()));
  }

  static constexpr Milliseconds kPatience{20000};
  static constexpr Milliseconds kForGood{4000};
  static constexpr int kFewest = 50;
  const Case& what_;
  Server server_;
  std::minstd_rand random_{7};  // values that do not compress
  int last_ = 0;
};

// What takes the space.
std::string files(const std::string& mount) {
  struct statvfs info {};
  statvfs(mount.c_str(), &info);
  std::string all = cat(info.f_bavail * info.f_bsize, " bytes left, taken by\n");
  for (const auto& entry : std::filesystem::recursive_directory_iterator(mount)) {
    struct stat one {};
    if (!entry.is_regular_file() || stat(entry.path().c_str(), &one) != 0) continue;
    all += cat(one.st_size, " bytes, ", one.st_blocks * 512,
               " on the disk: ", entry.path().lexically_relative(mount).string(), "\n");
  }
  return all;
}

template <typename Test>
absl::Status on_small_disk(const std::string& binary, const Case& what) {
  std::string mount = "/tmp/keelson-full-disk-XXXXXX";
  if (mkdtemp(mount.data()) == nullptr) return absl::ErrnoToStatus(errno, "mkdtemp");
  const std::string options = cat("size=", what.mount_size);
  if (::mount("tmpfs", mount.c_str(), "tmpfs", 0, options.c_str()) != 0) {
    const int error = errno;
    rmdir(mount.c_str());
    return absl::PermissionDeniedError(cat("cannot mount: ", std::strerror(error)));
  }
  absl::Status status;
  {
    Test test(binary, what, mount);
    status = test.run();
    if (!status.ok()) {
      status = absl::Status(status.code(),
                            cat(status.message(), "\n", test.log_tail(), "\n", files(mount)));
    }
  }
  umount2(mount.c_str(), MNT_DETACH);
  rmdir(mount.c_str());
  return status;
}

// So that no mount is left behind, whatever happens to us.
bool own_mounts() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

// With $KEELSON_FULL_DISK only the case of that name.
bool is_wanted(const Case& what) {
  const char* named = std::getenv("KEELSON_FULL_DISK");
  return named == nullptr || std::string_view(what.name) == named;
}

int run(const std::string& binary) {
  if (!own_mounts()) {
    std::cout << "skipped: no mount namespace of our own\n";
    return harness::kSkipped;
  }
  const std::vector<Case> cases = {
      // The log's space is taken far ahead, so the store's files meet the full disk first.
      {"store", "160m", {"--keelson-write-buffer-bytes=4194304"}, 20000, 0},
      {"log", "24m", {"--keelson-wal-segment-bytes=1048576"}, 5000, 0},
      // The database itself takes the rest.
      {"growth",
       "24m",
       {"--keelson-wal-segment-bytes=1048576", "--keelson-write-buffer-bytes=1048576"},
       5000,
       8 << 20},
  };
  const std::vector<Case> own = {
      {"itself", "400m", {"--quota-backend-bytes=8000000000"}, 100000, 0},
      {"itself, small",
       "64m",
       {"--keelson-wal-segment-bytes=1048576", "--keelson-write-buffer-bytes=2097152"},
       20000,
       0},
  };
  for (size_t i = 0; i < cases.size() + own.size(); ++i) {
    const bool by_itself = i >= cases.size();
    const Case& what = by_itself ? own[i - cases.size()] : cases[i];
    if (!is_wanted(what)) continue;
    const absl::Status status = by_itself ? on_small_disk<FilledByItself>(binary, what)
                                          : on_small_disk<FullDisk>(binary, what);
    if (absl::IsPermissionDenied(status)) {
      std::cout << "skipped: " << status.message() << "\n";
      return harness::kSkipped;
    }
    if (!status.ok()) {
      std::cout << what.name << " FAILED: " << status.message() << "\n";
      return 1;
    }
  }
  return 0;
}

}  // namespace
}  // namespace keelson::crash

int main(int argc, char** argv) {
  return keelson::harness::server_test(
      argc, argv, "Fills the disk under a server, and gives it space again.",
      [](const std::string& server) { return keelson::crash::run(server); });
}
