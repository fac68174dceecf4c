#include "raft/scenarios/handlers.h"

namespace keelson::raft::scenarios {

Kind kind_of(const Script& script) {
  for (const Script::Piece& piece : script.pieces) {
    const std::string& name = piece.command.name;
    if (name == "committed" || name == "vote") return Kind::kQuorum;
    if (name == "simple" || name == "enter-joint" || name == "leave-joint") {
      return Kind::kConfChange;
    }
    if (!name.empty()) return Kind::kInteraction;
  }
  return Kind::kInteraction;
}

Handler handler_for(Kind kind) {
  switch (kind) {
    case Kind::kQuorum:
      return quorum_handler();
    case Kind::kConfChange:
      return conf_change_handler();
    case Kind::kInteraction:
      return interaction_handler();
  }
  return interaction_handler();
}

}  // namespace keelson::raft::scenarios
