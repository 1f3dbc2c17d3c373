// Answers when cron expressions fire, one JSON a line, with the library that KFP's controller uses.
package main

import (
	"encoding/json"
	"errors"
	"io"
	"log"
	"os"
	"time"

	"github.com/robfig/cron"
)

func main() {
	var asked struct {
		Text  string
		From  int64
		Count int
	}
	var answer struct {
		Error   string
		Firings []int64
	}
	in, out := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	for {
		if err := in.Decode(&asked); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			log.Fatal(err)
		}
		answer.Error, answer.Firings = "", []int64{}
		schedule, err := cron.Parse(asked.Text)
		if err != nil {
			answer.Error = err.Error()
		} else {
			moment := time.Unix(asked.From, 0).UTC()
			for range asked.Count {
				if moment = schedule.Next(moment); moment.IsZero() {
					break
				}
				answer.Firings = append(answer.Firings, moment.Unix())
			}
		}
		if err := out.Encode(answer); err != nil {
			log.Fatal(err)
		}
	}
}
