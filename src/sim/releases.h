// sim/releases.h
//
// Members say that they are of one version and then of another, or say nothing, and announce
// themselves as etcd 3.5 does; the cluster's version follows from that. In half of the clusters an
// operator asks for downgrades and calls them off.
//
// Checked (Oracle): the cluster never speaks a later version than this program, and goes back only
// to one that somebody asked for. In the end, with all members of this program's version and no
// downgrade under way, it speaks that one.
//
// Threads: one.

#pragma once

#include <string>

#include "sim/world.h"

namespace keelson::sim {

class Releases {
 public:
  explicit Releases(World& world) : world_(world), downgrades_(world.random().below(2) == 0) {}

  // Somebody says another version from now on, or the operator does something.
  void act();
  // Everybody says this program's.
  void end();
  // The cluster speaks it. What stands in the way is called off through a member.
  bool settled();

 private:
  void say_another();
  void announce(int member);
  void set_downgrade(int member, bool enabled, const std::string& target);
  void downgrade(int member);

  World& world_;
  const bool downgrades_;  // are asked for
  bool asking_ = false;
  MonotonicTime asked_;
};

}  // namespace keelson::sim
