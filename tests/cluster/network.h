// tests/cluster/network.h
//
// A network of the test's own, of network namespaces: each member has one with an address of its
// own, this process stands between them as their router. What is cut is lost, and nobody is told,
// as on a wire; links.h, which needs no rights, holds up what members say instead.
//
// Threads: create() moves the calling thread, and those that it begins later, to a namespace of
// their own, so call it first; the rest from any.
// Needs: root (CAP_NET_ADMIN), and `ip`.

#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "tests/cluster/cuts.h"

namespace keelson::cluster {

class Network final : public Cuts {
 public:
  // Error: PermissionDenied where this process may not have one.
  static absl::StatusOr<std::unique_ptr<Network>> create(int members);
  ~Network() override;
  Network(const Network&) = delete;
  Network& operator=(const Network&) = delete;

  // Where a member's process is to be (harness::ServerOptions::network), and its address there.
  int of(int member) const { return places_[static_cast<size_t>(member)]; }
  static std::string host(int member);

  void cut(int from, int to) override;
  // A member's cable, which nobody else's is: what is sent there comes back as unreachable, sooner
  // or later.
  void unplug(int member);
  // All that was cut or unplugged.
  void mend() override;

 private:
  Network() = default;
  absl::Status build(int members);
  absl::Status plug(int member);
  // `ip`, as somebody at `member` would call it.
  absl::Status at(int member, const std::string& arguments) const;

  std::vector<int> places_;  // descriptors, of the namespace of each member
  std::mutex mutex_;
  std::vector<std::string> rules_;  // what is cut. Under mutex_
  std::vector<int> unplugged_;      // under mutex_
};

}  // namespace keelson::cluster
