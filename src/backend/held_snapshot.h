// backend/held_snapshot.h
//
// A snapshot that holds on to the store that it is of: for who may keep it longer than the member
// goes on with that store. Where it is let go of, the store may end, which takes long.
//
// Threads: as Backend::snapshot().

#pragma once

#include <memory>
#include <utility>

#include "backend/backend.h"

namespace keelson::backend {

inline std::shared_ptr<const Snapshot> held_snapshot(std::shared_ptr<const Backend> backend) {
  struct Held {
    std::shared_ptr<const Backend> backend;
    std::shared_ptr<const Snapshot> snapshot;  // goes first
  };
  auto held = std::make_shared<Held>();
  held->snapshot = backend->snapshot();
  held->backend = std::move(backend);
  const Snapshot* snapshot = held->snapshot.get();
  return {std::move(held), snapshot};
}

}  // namespace keelson::backend
