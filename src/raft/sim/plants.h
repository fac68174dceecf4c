// raft/sim/plants.h
//
// The planted bugs by name.

#pragma once

#include <span>
#include <string_view>

#include "raft/plant.h"

namespace keelson::raft::sim {

struct PlantInfo {
  Plant plant;
  std::string_view name;
  std::string_view what;
  bool in_core;  // only raft_sim_planted can plant it
};

std::span<const PlantInfo> all_plants();
const PlantInfo* find_plant(std::string_view name);

}  // namespace keelson::raft::sim
