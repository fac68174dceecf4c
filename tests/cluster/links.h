// tests/cluster/links.h
//
// Links stands between members: each advertises a port of ours, behind which is its own, so what
// one member says to another can be held up, one way or both, while clients still reach everybody.
//
// What is held up is not lost: it arrives once the link is mended, unless whoever sent it has given
// the connection up by then. That is what TCP makes of a network that loses everything for a while.
// Who has opened a connection is read from the heads of its requests (X-Server-From); as long as
// none says (probes), it is held up with any link of the member that it goes to.
//
// Threads: one of its own forwards; the rest from any.

#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "tests/cluster/cuts.h"

namespace keelson::cluster {

class Links final : public Cuts {
 public:
  Links();
  ~Links() override;
  Links(const Links&) = delete;
  Links& operator=(const Links&) = delete;

  // A port of ours in front of `port`, which is where the next member listens: members count from
  // 0. 0: there is none to be had.
  int add(int port);
  // What `member` calls itself.
  void know(int member, uint64_t id);

  void cut(int from, int to) override;
  void mend() override;

 private:
  struct Connection;
  struct Door {
    int fd = -1;
    int port = 0;  // behind it
  };
  // What the thread goes by, and a copy of it for a turn.
  struct State {
    std::vector<Door> doors;          // of each member
    std::map<uint64_t, int> members;  // by id
    std::set<std::pair<int, int>> cut;
    bool stopping = false;
    bool holds(int from, int to) const;
  };

  void run();
  void accept(const State& state, int to);
  void wake() const;

  std::mutex mutex_;
  State state_;  // under mutex_
  int bell_ = -1;
  std::vector<std::unique_ptr<Connection>> connections_;  // the thread's
  std::thread thread_;
};

}  // namespace keelson::cluster
