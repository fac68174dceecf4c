// tests/crash/load.h
//
// Clients that write what can be recognised, until their server dies. Each owns its keys and has
// one request under way, so after a crash at most one write per client is in doubt.
//
// Threads: run_load starts and joins its own.

#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/random.h"
#include "proto/rpc.pb.h"

namespace keelson::crash {

// One write as asked and, if it came, as answered.
struct Write {
  enum class Kind { kTxn, kGrant, kRevoke, kCompact };
  Kind kind = Kind::kTxn;
  etcdserverpb::TxnRequest txn;  // puts and deletes too, as the model takes them
  int64_t number = 0;            // the lease, or the revision to compact at
  bool acknowledged = false;
  bool changes = false;  // acknowledged as a change (a delete may find nothing)
  bool failed = false;   // refused with an error that says it was not done
  int64_t revision = 0;  // of the answer's header
  std::string text() const;
};

struct Loader {
  int client = 0;
  SeededRandom random{0};
  int64_t next_value = 0;
  int64_t lease = 0;  // the client's own, 0: none
  int64_t next_lease = 0;
};

// Draws one write of that client. `compactable` is the newest revision whose history is checked.
Write draw(Loader* loader, int64_t compactable);

// Writes with every loader at once until its server no longer answers; `crash` runs on the caller's
// thread meanwhile and must end the server. Gives every client's writes in its order.
std::vector<std::vector<Write>> run_load(const std::string& address, std::vector<Loader>* loaders,
                                         int64_t compactable, const std::function<void()>& crash);

}  // namespace keelson::crash
