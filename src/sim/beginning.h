// sim/beginning.h
//
// How a scenario begins: a cluster that serves.

#pragma once

#include "sim/clients.h"
#include "sim/world.h"

namespace keelson::sim {

// Starts all, and goes on until somebody leads and the first put is acknowledged. False: it was
// not.
inline bool begins(World& world, Clients& clients) {
  for (int i = 0; i < world.size(); ++i) {
    if (!world.start(i).ok()) return false;
  }
  bool served = false;
  // What is asked for before there is a leader may be dropped.
  for (int attempt = 0; attempt < 5 && !served; ++attempt) {
    clients.put(0, [&] { served = true; });
    world.run_until([&] { return served; }, std::chrono::seconds(20));
  }
  return served;
}

}  // namespace keelson::sim
