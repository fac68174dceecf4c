// tests/cluster/cuts.h
//
// What may be between the members of a cluster, and then not be.
//
// Threads: any.

#pragma once

namespace keelson::cluster {

class Cuts {
 public:
  virtual ~Cuts() = default;

  // What `from` says does not reach `to`.
  virtual void cut(int from, int to) = 0;
  // Nothing is cut any more.
  virtual void mend() = 0;

  void cut_both_ways(int a, int b) {
    cut(a, b);
    cut(b, a);
  }
  // Nobody hears it.
  void mute(int member, int size) {
    for (int other = 0; other < size; ++other) {
      if (other != member) cut(member, other);
    }
  }
  // It hears nobody.
  void deafen(int member, int size) {
    for (int other = 0; other < size; ++other) {
      if (other != member) cut(other, member);
    }
  }
  void isolate(int member, int size) {
    mute(member, size);
    deafen(member, size);
  }
};

}  // namespace keelson::cluster
