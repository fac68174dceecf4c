// tests/attack/attacks.h
//
// The attacks, each a function that goes on until it is told to stop, and what must hold meanwhile.

#pragma once

#include <atomic>
#include <chrono>
#include <string>
#include <vector>

namespace keelson::attack {

struct Target {
  std::string address;
  std::atomic<bool> over{false};
  // How long the unluckiest of those waited who came meanwhile; 0: nobody did.
  std::atomic<double> newcomer_ms{0};

  // Until over, or for so long.
  bool wait(std::chrono::milliseconds most) const;
};

// What must hold; 0: not looked at.
struct Bounds {
  double p99_ms = 150;       // of the probe, on top of the quiet server's
  double max_ms = 400;       // the same
  double grown_mb = 0;       // the server's memory, at its largest
  double left_mb = 0;        // and a few seconds after the attackers have gone
  double cpu_seconds = 0;    // the server's, from the beginning of the attack to the end
  double newcomer_ms = 0;    // of Target
  unsigned descriptors = 0;  // not a bound: what the server is allowed while this goes on
};

struct Attack {
  const char* name;
  const char* what;
  void (*run)(Target&);
  Bounds bounds;
  std::vector<std::string> flags = {};  // of the server
  bool https_too = false;
};

const std::vector<Attack>& attacks();
// Those on heads, bodies that dawdle, resets and descriptors; among the others.
std::vector<Attack> door_attacks();
// Those made of single frames and messages; among the others.
std::vector<Attack> frame_attacks();
// Those on what the member holds for clients that do not go on; among the others.
std::vector<Attack> unread_attacks();
// Those on handshakes; among the others.
std::vector<Attack> tls_attacks();

}  // namespace keelson::attack
