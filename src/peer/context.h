// peer/context.h
//
// What the parts of a Network share while it runs: its loop, who this member is, and whom it tells.
//
// Threads: the peer loop. Lifetime: the Hub's; the parts end before it.

#pragma once

#include <functional>

#include "base/line_budget.h"
#include "base/workers.h"
#include "net/http_client.h"
#include "net/loop.h"
#include "peer/headers.h"
#include "peer/network.h"
#include "peer/snapshot_home.h"
#include "peer/version_floor.h"

namespace keelson::peer {

struct Context {
  net::Loop& loop;
  net::HttpClient& client;
  const NetworkOptions& options;
  const Identity identity;
  Receiver& receiver;
  Observer& observer;
  Workers& workers;         // for work on databases
  SnapshotHome* snapshots;  // null: none are taken
  // For what is said of requests, and of who has come by one: anybody may, as often as they like.
  LineBudget& lines;
  VersionFloor& floor;
  // Somebody says that this member was removed.
  std::function<void()> removed{};
  // A member's connection stands now, or no more.
  std::function<void()> activity_changed{};

  MemberId self() const { return identity.member; }
  // Lives until the next call.
  LocalMember local() const {
    return {.id = identity.member,
            .cluster = identity.cluster,
            .version = options.version,
            .min_cluster_version = floor.oldest()};
  }
  // What a request to another member carries; `to` for a stream.
  std::vector<net::HttpField> fields(std::optional<MemberId> to) const {
    std::vector<net::HttpField> fields;
    for (auto& [name, value] : request_headers(local(), identity.peer_urls, to)) {
      fields.push_back({std::string(name), std::move(value)});
    }
    return fields;
  }
};

}  // namespace keelson::peer
