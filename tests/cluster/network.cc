#include "tests/cluster/network.h"

#include <fcntl.h>
#include <sched.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>
#include <utility>

#include "base/text.h"

namespace keelson::cluster {
namespace {

// Nobody else's: nothing else is in these namespaces.
std::string address(int member, int host) { return cat("10.99.", member, ".", host); }
std::string cable(int member) { return cat("member", member); }  // the router's end of it
const char* const kEnd = "uplink";                               // the member's

absl::Status run(const std::string& command) {
  FILE* pipe = ::popen(cat(command, " 2>&1").c_str(), "r");
  if (pipe == nullptr) return absl::ErrnoToStatus(errno, command);
  std::string said;
  for (char line[512]; ::fgets(line, sizeof line, pipe) != nullptr;) said += line;
  const int code = ::pclose(pipe);
  return code == 0 ? absl::OkStatus() : absl::InternalError(cat(command, ": ", said));
}

// What went well when the network was made.
void must(const absl::Status& status) {
  if (status.ok()) return;
  std::cout << "FAILED " << status << std::endl;
  std::abort();
}

// Lives as long as its descriptor. -1: there is none to be had.
int new_namespace() {
  int fd = -1;
  std::thread([&fd] {
    if (::unshare(CLONE_NEWNET) == 0) fd = ::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  }).join();
  return fd;
}

}  // namespace

std::string Network::host(int member) { return address(member, 2); }

absl::StatusOr<std::unique_ptr<Network>> Network::create(int members) {
  if (::unshare(CLONE_NEWNET) != 0) {
    return absl::PermissionDeniedError("no network namespace: needs root");
  }
  std::unique_ptr<Network> network(new Network());
  if (absl::Status s = network->build(members); !s.ok()) return s;
  return network;
}

absl::Status Network::build(int members) {
  if (absl::Status s = run("ip link set lo up"); !s.ok()) return s;
  std::ofstream forward("/proc/sys/net/ipv4/ip_forward");
  forward << "1\n" << std::flush;
  if (!forward) return absl::PermissionDeniedError("/proc/sys/net/ipv4/ip_forward: not written");
  for (int i = 0; i < members; ++i) {
    places_.push_back(new_namespace());
    if (of(i) < 0) return absl::PermissionDeniedError("no network namespace for a member");
    for (const std::string& step : {cat("ip link add ", cable(i), " type veth peer name ", kEnd,
                                        " netns /proc/", ::getpid(), "/fd/", of(i)),
                                    cat("ip address add ", address(i, 1), "/24 dev ", cable(i)),
                                    cat("ip link set ", cable(i), " up")}) {
      if (absl::Status s = run(step); !s.ok()) return s;
    }
    for (const std::string& step :
         {std::string("link set lo up"), cat("address add ", host(i), "/24 dev ", kEnd)}) {
      if (absl::Status s = at(i, step); !s.ok()) return s;
    }
    if (absl::Status s = plug(i); !s.ok()) return s;
  }
  return absl::OkStatus();
}

Network::~Network() {
  for (int place : places_) ::close(place);
}

absl::Status Network::at(int member, const std::string& arguments) const {
  return run(cat("nsenter --net=/proc/", ::getpid(), "/fd/", of(member), " ip ", arguments));
}

absl::Status Network::plug(int member) {
  if (absl::Status s = at(member, cat("link set ", kEnd, " up")); !s.ok()) return s;
  return at(member, cat("route add default via ", address(member, 1)));
}

void Network::cut(int from, int to) {
  std::string rule = cat("from ", host(from), " to ", host(to), " blackhole");
  std::lock_guard lock(mutex_);
  must(run(cat("ip rule add ", rule)));
  rules_.push_back(std::move(rule));
}

void Network::unplug(int member) {
  std::lock_guard lock(mutex_);
  must(at(member, cat("link set ", kEnd, " down")));
  unplugged_.push_back(member);
}

void Network::mend() {
  std::lock_guard lock(mutex_);
  for (const std::string& rule : std::exchange(rules_, {})) {
    must(run(cat("ip rule delete ", rule)));
  }
  for (int member : std::exchange(unplugged_, {})) must(plug(member));
}

}  // namespace keelson::cluster
