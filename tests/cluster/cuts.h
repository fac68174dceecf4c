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
  // Nobody hears it, and it hears nobody.
  void isolate(int member, int size) {
    for (int other = 0; other < size; ++other) {
      if (other != member) cut_both_ways(member, other);
    }
  }
};

}  // namespace keelson::cluster
