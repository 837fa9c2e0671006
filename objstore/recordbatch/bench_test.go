package recordbatch

import (
	"math/rand/v2"
	"testing"
)

func BenchmarkCheck1MiB(b *testing.B) {
	batch := build(b, Builder{}, []Record{{Value: make([]byte, 1<<20)}})
	b.SetBytes(int64(len(batch)))
	b.ReportAllocs()
	for b.Loop() {
		if err := batch.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCheckSmall(b *testing.B) {
	batch := build(b, Builder{}, []Record{{Value: make([]byte, 100)}})
	b.ReportAllocs()
	for b.Loop() {
		if err := batch.Check(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNext1000(b *testing.B) {
	var run []byte
	for range 1000 {
		run = append(run, build(b, Builder{}, []Record{{Value: make([]byte, 1000)}})...)
	}
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		for rest := run; ; n++ {
			batch, after, err := Next(rest)
			if err != nil {
				b.Fatal(err)
			}
			if batch == nil {
				break
			}
			rest = after
		}
		if n != 1000 {
			b.Fatal(n)
		}
	}
}

func BenchmarkIterate(b *testing.B) {
	rs := someRecords(rand.New(rand.NewPCG(1, 1)), 1000)
	for _, c := range codecs {
		batch := build(b, Builder{Codec: c}, rs)
		plain := int64(len(build(b, Builder{}, rs)))
		for name, reuse := range map[string]bool{"fresh": false, "kept": true} {
			b.Run(c.String()+"/"+name, func(b *testing.B) {
				var d Decoder
				b.SetBytes(plain)
				b.ReportAllocs()
				for b.Loop() {
					seq := batch.Iterate(1 << 20)
					if reuse {
						seq = d.Iterate(batch, 1<<20)
					}
					for _, err := range seq {
						if err != nil {
							b.Fatal(err)
						}
					}
				}
			})
		}
	}
}
